//! Downloads, cache and checksums of weights and datasets.
