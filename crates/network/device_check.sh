#!/usr/bin/env bash
# Whether a GPU computes what the CPU does, in less than ten minutes and without a build on the GPU's machine:
#
#   bash crates/network/device_check.sh build [FOLDER]   where there is a compiler: two test programs into FOLDER
#   bash crates/network/device_check.sh run [FOLDER]     where there is a GPU: runs them
#
# FOLDER is target/device_check unless it is named. `run` reads the networks in INFORMED_REPAIR_ASSETS, compares
# their outputs with PyTorch's (`parity`) and every operator shape with flex, forward and backward
# (`device_check`), and leaves logs and tables in OUT, else in FOLDER. It fails where a program fails, finds no
# adapter, or computes on a driver that is no GPU; with ANY_ADAPTER=1 such a driver will do.
# FEATURES=wgpu-fusion,wgpu-autotune builds with what burn adds to wgpu by default.
set -euo pipefail
cd "$(dirname "$0")/../.."

verb="${1:-}"
folder="${2:-target/device_check}"
tests=(parity device_check)

build() {
    mkdir -p "$folder"
    local features="${FEATURES:-wgpu}" test program
    for test in "${tests[@]}"; do
        program="$(cargo test --profile backends -p network --features "$features" --test "$test" --no-run 2>&1 |
            tee /dev/stderr | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')"
        cp "$program" "$folder/$test"
        strip "$folder/$test"
    done
    # The Vulkan loader, for machines that have a driver and no loader.
    local loader
    loader="$(ldconfig -p | sed -n 's/.*libvulkan\.so\.1 .*=> //p' | head -n 1)"
    if [ -n "$loader" ]; then
        cp -L "$loader" "$folder/libvulkan.so.1"
    fi
    ls -l "$folder"
}

run() {
    local out="${OUT:-$folder}" failed=0 test
    mkdir -p "$out"
    export OUT="$out"
    export INFORMED_REPAIR_ASSETS="${INFORMED_REPAIR_ASSETS:-../shared/assets}"
    [ -d "$INFORMED_REPAIR_ASSETS/mlp" ] || INFORMED_REPAIR_ASSETS=shared/assets
    if [ -e "$folder/libvulkan.so.1" ] && ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then
        LD_LIBRARY_PATH="$(realpath "$folder")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        export LD_LIBRARY_PATH
    fi
    # NVIDIA's driver without the file that names it to the loader.
    if ldconfig -p | grep -q 'libGLX_nvidia\.so\.0' &&
        ! ls /etc/vulkan/icd.d/*nvidia* /usr/share/vulkan/icd.d/*nvidia* >/dev/null 2>&1; then
        printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "libGLX_nvidia.so.0", "api_version": "1.3.0"}}\n' \
            >"$out/nvidia_icd.json"
        export VK_ICD_FILENAMES="$(realpath "$out")/nvidia_icd.json"
    fi
    { nvidia-smi -L || true; ls /etc/vulkan/icd.d /usr/share/vulkan/icd.d || true; } >"$out/machine.log" 2>&1
    for test in "${tests[@]}"; do
        printf '\n== %s\n' "$test"
        timeout 280 "$folder/$test" _on_wgpu --nocapture --test-threads 1 2>&1 | tee "$out/$test.log" || failed=1
        if grep -q '^skipped' "$out/$test.log"; then
            failed=1
        fi
    done
    if [ -z "${ANY_ADAPTER:-}" ] && ! grep -q 'auto is wgpu' "$out/device_check.log"; then
        printf 'the adapter is no GPU\n'
        failed=1
    fi
    return "$failed"
}

case "$verb" in
build | run) "$verb" ;;
*)
    sed -n '2,/^set/p' "$0" | sed '/^set/d; s/^# \{0,1\}//'
    exit 2
    ;;
esac
