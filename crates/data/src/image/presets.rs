//! The preprocessing of known checkpoints.

use super::preprocess::{
    Arithmetic, ChannelOrder, Crop, CropRounding, Filter, Preprocessing, Resize,
};

/// Mean of the ImageNet training images in [0, 1], red first, as torchvision and timm use it.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of the ImageNet training images in [0, 1], red first.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// torchvision's SqueezeNet 1.0 and 1.1: short side 256, bilinear, crop 224, ImageNet mean and
/// standard deviation.
pub fn squeezenet() -> Preprocessing {
    Preprocessing {
        resize: Some(Resize::ShortSide(256)),
        filter: Filter::Bilinear,
        antialias: true,
        arithmetic: Arithmetic::Bytes,
        crop: Some(square(224, CropRounding::HalfEven)),
        order: ChannelOrder::Rgb,
        range: 1.0,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    }
}

/// timm's `mobilevit_xxs`: short side floor(256 / 0.9) = 284, bicubic, crop 256, pixels in [0, 1].
pub fn mobilevit_xxs_timm() -> Preprocessing {
    Preprocessing {
        resize: Some(Resize::ShortSide(284)),
        filter: Filter::Bicubic,
        crop: Some(square(256, CropRounding::HalfEven)),
        ..unit()
    }
}

/// transformers' MobileViT: short side 288, bilinear, crop 256, pixels in [0, 1], blue first.
pub fn mobilevit_transformers() -> Preprocessing {
    Preprocessing {
        resize: Some(Resize::ShortSide(288)),
        crop: Some(square(256, CropRounding::Down)),
        order: ChannelOrder::Bgr,
        ..unit()
    }
}

/// MobileViT-XXS trained on Fashion-MNIST: 28 x 28 grey pixels in [0, 1], bilinear to 64 x 64 in
/// floating point, three equal channels.
pub fn mobilevit_fashion() -> Preprocessing {
    Preprocessing {
        resize: Some(Resize::Exact {
            height: 64,
            width: 64,
        }),
        antialias: false,
        arithmetic: Arithmetic::Float,
        ..unit()
    }
}

/// The picture as it is, pixels in [0, 1], red first.
pub fn unit() -> Preprocessing {
    Preprocessing {
        resize: None,
        filter: Filter::Bilinear,
        antialias: true,
        arithmetic: Arithmetic::Bytes,
        crop: None,
        order: ChannelOrder::Rgb,
        range: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

fn square(side: usize, rounding: CropRounding) -> Crop {
    Crop {
        height: side,
        width: side,
        rounding,
    }
}
