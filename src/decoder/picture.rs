//! From a key frame to a JPEG, by FFmpeg: decode, scale down, encode. Runs in the helper only.
//!
//! One thread, one picture, nothing kept from one to the next. A picture of which anything is missing
//! is refused: what a decoder makes up is no evidence.

#[cfg(test)]
mod tests;

use super::message::PictureHead;
use super::{Error, Fault, MAX_JPEG_PIXELS, MAX_PIXELS, MAX_SIDE_PIXELS, NO_FFMPEG};
use ffmpeg::codec::{Context, Id, packet::Packet};
use ffmpeg::software::scaling;
use ffmpeg::util::{color, format::Pixel, frame::Video as Frame};
use ffmpeg::{Dictionary, decoder, encoder, ffi};
use ffmpeg_next as ffmpeg;

/// The narrowest picture that is made of a wider one.
const MIN_WIDTH_PIXELS: u32 = 16;

/// Pixels that are said to be more oblong than this are taken for square.
const MAX_OBLONG: u32 = 8;

/// A picture of at least so many lines that names no colours has those of HDTV (ITU-R BT.709), as
/// players assume as well.
const HD_LINES: u32 = 720;

/// The scales of the JPEG encoder's tables: 2 is the finest that pays.
const FINEST: u32 = 2;
const COARSEST: u32 = 31;

/// Lets FFmpeg find out what the processor can do and build its tables, for which it may need files.
pub(super) fn warm_up() {
    ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Quiet);
    let grey = Frame::new(Pixel::YUV420P, 64, 64);
    // If this fails, so will the requests, and they can tell.
    let _ = scale(&grey, 16, 16).and_then(|small| encode(small, 50));
    let _ = open_decoder(&[]);
}

/// The JPEG of `sample`, the way `head` says.
pub(super) fn jpeg(head: &PictureHead, avcc: &[u8], sample: &[u8]) -> Result<Vec<u8>, Error> {
    let frame = decode(avcc, sample)?;
    let (width, height) = output_size(
        (frame.width(), frame.height()),
        (head.pixel_h_spacing.into(), head.pixel_v_spacing.into()),
        head.max_width,
    );
    let small = scale(&frame, width, height)?;
    drop(frame);
    encode(small, head.quality)
}

fn open_decoder(avcc: &[u8]) -> Result<decoder::Video, Error> {
    let codec = decoder::find(Id::H264).ok_or(Error::Unsupported(NO_FFMPEG))?;
    let mut context = Context::new_with_codec(codec);
    let padding = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: the context is ours; it frees the copy, which has the padding that FFmpeg wants.
    unsafe {
        let copy = ffi::av_mallocz(avcc.len() + padding).cast::<u8>();
        if copy.is_null() {
            return Err(Error::TooLarge);
        }
        copy.copy_from_nonoverlapping(avcc.as_ptr(), avcc.len());
        let context = &mut *context.as_mut_ptr();
        context.extradata = copy;
        context.extradata_size = avcc.len() as i32;
        // Some sync samples are recovery points and no IDR pictures; decoders distrust those.
        context.flags |= ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT as i32;
    }
    let mut options = Dictionary::new();
    options.set("threads", "1");
    options.set("max_pixels", &MAX_PIXELS.to_string());
    context
        .decoder()
        .open_as_with(codec, options)
        .and_then(|opened| opened.video())
        .map_err(|e| of_memory(e).unwrap_or(Error::Undecodable(Fault::Parameters)))
}

fn decode(avcc: &[u8], sample: &[u8]) -> Result<Frame, Error> {
    let mut decoder = open_decoder(avcc)?;
    let damaged = |e| of_memory(e).unwrap_or(Error::Undecodable(Fault::Damaged));
    decoder
        .send_packet(&Packet::copy(sample))
        .map_err(damaged)?;
    decoder.send_eof().map_err(damaged)?;
    let mut frame = Frame::empty();
    decoder
        .receive_frame(&mut frame)
        .map_err(|e| of_memory(e).unwrap_or(Error::Undecodable(Fault::NoPicture)))?;
    // SAFETY: the frame is filled and ours.
    let (errors, kind) = unsafe {
        let frame = &*frame.as_ptr();
        (frame.decode_error_flags, frame.pict_type)
    };
    if errors != 0 {
        return Err(Error::Undecodable(Fault::Damaged));
    }
    if kind != ffi::AVPictureType::AV_PICTURE_TYPE_I {
        return Err(Error::Undecodable(Fault::NoPicture));
    }
    let (width, height) = (frame.width(), frame.height());
    if width == 0 || height == 0 {
        return Err(Error::Undecodable(Fault::NoPicture));
    }
    if width.max(height) > MAX_SIDE_PIXELS {
        return Err(Error::TooLarge);
    }
    Ok(frame)
}

/// The size with square pixels, within `max_width` and [`MAX_JPEG_PIXELS`]: no side ever grows.
fn output_size(size: (u32, u32), spacing: (u32, u32), max_width: u32) -> (u32, u32) {
    let (mut width, mut height) = (f64::from(size.0), f64::from(size.1));
    let (h, v) = spacing;
    if h > 0 && v > 0 && h.div_ceil(v).max(v.div_ceil(h)) <= MAX_OBLONG {
        let shape = f64::from(h) / f64::from(v);
        if shape > 1.0 {
            height /= shape;
        } else {
            width *= shape;
        }
    }
    let most = f64::from(max_width.max(MIN_WIDTH_PIXELS));
    let across = (most / width).min(1.0);
    let area = (f64::from(MAX_JPEG_PIXELS) / (width * height))
        .sqrt()
        .min(1.0);
    let by = across.min(area);
    let side = |n: f64| ((n * by).round() as u32).max(1);
    (side(width), side(height))
}

/// The picture in another size, and in the colours of JPEG: BT.601 in full range (JFIF 1.02).
fn scale(frame: &Frame, width: u32, height: u32) -> Result<Frame, Error> {
    let unencodable = |_| Error::Unencodable;
    let mut scaler = scaling::Context::get(
        frame.format(),
        frame.width(),
        frame.height(),
        Pixel::YUVJ420P,
        width,
        height,
        scaling::Flags::AREA,
    )
    .map_err(unencodable)?;
    let full = frame.color_range() == color::Range::JPEG
        || matches!(
            frame.format(),
            Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P
        );
    let matrix = match frame.color_space() {
        color::Space::BT709 => ffi::SWS_CS_ITU709,
        color::Space::FCC => ffi::SWS_CS_FCC,
        color::Space::SMPTE240M => ffi::SWS_CS_SMPTE240M,
        color::Space::BT2020NCL | color::Space::BT2020CL => ffi::SWS_CS_BT2020,
        color::Space::Unspecified if frame.height() >= HD_LINES => ffi::SWS_CS_ITU709,
        _ => ffi::SWS_CS_ITU601,
    };
    // SAFETY: the scaler is ours; the tables are constants of the library. Where it cannot change the
    // colours it says so, and they stay a little off.
    unsafe {
        ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            ffi::sws_getCoefficients(matrix),
            i32::from(full),
            ffi::sws_getCoefficients(ffi::SWS_CS_ITU601),
            1,
            0,
            1 << 16,
            1 << 16,
        );
    }
    let mut out = Frame::empty();
    scaler.run(frame, &mut out).map_err(unencodable)?;
    Ok(out)
}

fn encode(mut frame: Frame, quality: u8) -> Result<Vec<u8>, Error> {
    let codec = encoder::find(Id::MJPEG).ok_or(Error::Unsupported(NO_FFMPEG))?;
    let unencodable = |_| Error::Unencodable;
    let context = Context::new_with_codec(codec).encoder();
    let mut video = context.video().map_err(unencodable)?;
    video.set_width(frame.width());
    video.set_height(frame.height());
    video.set_format(Pixel::YUVJ420P);
    video.set_color_range(color::Range::JPEG);
    video.set_time_base((1, 1));
    video.set_aspect_ratio((1, 1));
    let quality = table_scale(quality) as i32 * ffi::FF_QP2LAMBDA;
    video.set_global_quality(quality);
    video.set_flags(ffmpeg::codec::Flags::QSCALE | ffmpeg::codec::Flags::BITEXACT);
    let mut options = Dictionary::new();
    options.set("threads", "1");
    // Tables made for the picture save a tenth of the bytes and cost five times the memory.
    options.set("huffman", "default");
    let mut encoder = video.open_with(options).map_err(unencodable)?;
    frame.set_pts(Some(0));
    // SAFETY: the frame is ours.
    unsafe { (*frame.as_mut_ptr()).quality = quality };
    encoder.send_frame(&frame).map_err(unencodable)?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet).map_err(unencodable)?;
    packet.data().map(<[u8]>::to_vec).ok_or(Error::Unencodable)
}

/// FFmpeg scales MPEG's table for intra blocks; 8 of it is about what others call a quality of 50,
/// and they scale theirs by 100 / (2 (100 - quality)) above that and by quality / 50 below.
fn table_scale(quality: u8) -> u32 {
    let quality = u32::from(quality.clamp(1, 100));
    let percent = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    (percent * 8 / 100).clamp(FINEST, COARSEST)
}

/// Whether it was for want of memory: then the picture was too large.
fn of_memory(e: ffmpeg::Error) -> Option<Error> {
    let is = matches!(e, ffmpeg::Error::Other { errno } if errno == libc::ENOMEM);
    is.then_some(Error::TooLarge)
}
