use super::live::{Fed, Has, Live, Of};
use super::recorded::{CUT_SPAN, Kept, MAX_SPAN, Recorded};
use super::*;
use crate::h264::VideoSampleEntry;
use crate::mp4::Piece;
use crate::nvr::web::uncommitted::Uncommitted;
use crate::recording::index::{IndexEncoder, Sample};
use crate::recording::{OpenId, Place as Row, Summary};

/// A frame at 25 a second.
const FRAME: i32 = 3_600;

const START: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

const STREAM: StreamId = StreamId(1);

fn entry() -> Arc<VideoSampleEntry> {
    Arc::new(VideoSampleEntry {
        width: 640,
        height: 360,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        rfc6381_codec: "avc1.4d401e".into(),
        avcc: vec![1, 2, 3, 4],
        reorder_frames: 0,
    })
}

/// The index of frames of 100 bytes, a sync sample each `gop`.
fn index(frames: u32, gop: u32) -> Vec<u8> {
    index_of(frames, |i| i % gop == 0)
}

fn index_of(frames: u32, is_sync: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, false);
    for i in 0..frames {
        let sample = Sample {
            media_start_90k: 0,
            duration_90k: FRAME,
            composition_offset_90k: 0,
            offset: 0,
            bytes: 100,
            is_sync: is_sync(i),
        };
        encoder.add(&mut index, &sample);
    }
    index
}

/// A recording that begins `at_secs` after the first one.
fn fed(sequence: u32, run_offset: u32, at_secs: i64, index: &[u8]) -> Fed<'_> {
    Fed {
        of: Of {
            source: Source {
                id: RecordingId {
                    stream: STREAM,
                    sequence,
                },
                dir: DirId(1),
            },
            open: OpenId(1),
            run_offset,
            start: START + Duration90k::from_secs(at_secs),
            entry: entry(),
            entry_row: 1,
        },
        index,
        ended: false,
        next_is_sync: false,
    }
}

/// The values of a tag, in order.
fn tags<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let prefix = format!("#EXT-X-{tag}:");
    text.lines()
        .filter_map(|l| l.strip_prefix(&prefix))
        .collect()
}

fn durations(text: &str) -> Vec<f64> {
    let lines = text.lines().filter_map(|l| l.strip_prefix("#EXTINF:"));
    lines
        .map(|l| l.trim_end_matches(',').parse().unwrap())
        .collect()
}

#[test]
fn a_list_grows_by_parts_and_segments() {
    let history = index(60, 50);
    let mut live = Live::new(&[fed(0, 0, 0, &history)]).unwrap();
    let first = START.unix_secs() as u64;
    assert!(!live.has_any(), "nothing can be read yet");
    assert_eq!(live.has(first, None), Has::NotYet);
    assert!(live.readable(|_| 5_000));
    assert!(live.has_any());
    let text = live.playlist();
    assert_eq!(durations(text.text()), [2.0]);
    assert_eq!(tags(text.text(), "TARGETDURATION"), ["4"]);
    assert_eq!(tags(text.text(), "MEDIA-SEQUENCE"), [first.to_string()]);
    assert_eq!(tags(text.text(), "PART-INF"), ["PART-TARGET=0.352000"]);
    let parts = tags(text.text(), "PART");
    assert_eq!(parts.len(), 7, "of 8 frames, the last of 2: {parts:?}");
    assert!(parts[0].ends_with(",INDEPENDENT=YES") && !parts[1].contains("INDEPENDENT"));
    let hint = format!("TYPE=PART,URI=\"segment.m4s?segment={}&part=0\"", first + 1);
    assert_eq!(tags(text.text(), "PRELOAD-HINT"), [hint]);

    // The next part is one of eight frames, and is there when it can be read.
    assert_eq!(live.has(first + 1, Some(0)), Has::NotYet);
    assert!(live.readable(|_| 5_800));
    assert_eq!(live.has(first + 1, Some(0)), Has::Yes);
    assert_eq!(live.has(first + 1, Some(1)), Has::NotYet);
    assert_eq!(live.has_bytes(first + 1, Some(1)), Has::NotYet);
    assert_eq!(live.has_bytes(first + 1, None), Has::NotYet);
    assert_eq!(live.has(first + 3, None), Has::TooFar);
    assert_eq!(live.has_bytes(first + 3, Some(0)), Has::TooFar);
    assert_eq!(live.has_bytes(first - 1, None), Has::Gone);
    let file = live.file(first + 1, Some(0)).unwrap().unwrap();
    assert_eq!(file.duration(), Duration90k(8 * 3_600));
    let last = file.pieces(0..file.len()).last().unwrap();
    let range = 5_000..5_800;
    assert_eq!(last, Piece::Samples { segment: 0, range });

    // A sync sample that has come ends the segment before its own duration is known.
    let more = index(100, 50);
    live.feed(&Fed {
        next_is_sync: true,
        ..fed(0, 0, 0, &more)
    });
    assert!(live.is_waiting() && live.readable(|_| 10_000));
    assert_eq!(live.has(first + 1, None), Has::Yes);
    assert_eq!(live.has_bytes(first + 1, None), Has::Yes);
    // Who wants the part after the last one gets the first of the next segment, once it is there.
    assert_eq!(live.has(first + 1, Some(7)), Has::Yes);
    assert_eq!(live.has_bytes(first + 1, Some(7)), Has::Gone);
    assert_eq!(live.last(), (first + 1, Some(6)));
    let text = live.playlist();
    assert_eq!(durations(text.text()), [2.0, 2.0]);
    assert!(text.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    // Times go on from one to the next.
    let times: Vec<u64> = [first, first + 1]
        .map(|n| decode_time(&live.file(n, None).unwrap().unwrap()))
        .into();
    assert_eq!(times, [START.0 as u64, START.0 as u64 + 180_000]);
}

fn decode_time(file: &crate::mp4::File) -> u64 {
    let Some(Piece::Bytes(head)) = file.piece(0..file.len()) else {
        panic!("it begins with boxes");
    };
    let at = head.windows(4).position(|w| w == b"tfdt").unwrap();
    u64::from_be_bytes(head[at + 8..at + 16].try_into().unwrap())
}

#[test]
fn a_gop_that_is_too_long_is_cut_without_a_sync_sample() {
    let history = index(125, 50);
    let mut live = Live::new(&[fed(0, 0, 0, &history)]).unwrap();
    // From here on the camera sends none.
    let more = index_of(450, |i| i % 50 == 0 && i < 150);
    live.feed(&fed(0, 0, 0, &more));
    live.readable(|_| u64::MAX);
    let text = live.playlist();
    let longest = durations(text.text()).into_iter().fold(0.0, f64::max);
    assert!(longest > 4.0 && longest < 4.5, "{longest}");
    assert!(!text.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    assert_eq!(tags(text.text(), "TARGETDURATION"), ["4"]);
}

#[test]
fn recordings_follow_each_other_with_and_without_a_break() {
    let minute = index(1_500, 50);
    let ended = |f| Fed { ended: true, ..f };
    let mut live = Live::new(&[ended(fed(0, 0, 0, &minute))]).unwrap();
    assert!(!live.is_in(fed(0, 0, 0, &minute).of.source.id));
    live.feed(&ended(fed(1, 1, 60, &minute)));
    live.readable(|_| u64::MAX);
    let text = live.playlist();
    assert!(!text.text().contains("DISCONTINUITY"), "{}", text.text());
    let number: u64 = tags(text.text(), "MEDIA-SEQUENCE")[0].parse().unwrap();
    // 24 s of the 60 of the second one. When the list was made, it had 48 s of the first one: numbers
    // go on from the second in which these begin.
    assert_eq!(durations(text.text()), [2.0; 12]);
    assert_eq!(number, START.unix_secs() as u64 + 12 + (48 + 60 - 24) / 2);
    // What has left the playlist is still there for a while, and no longer.
    assert_eq!(live.has_bytes(number - 12, None), Has::Yes);
    assert_eq!(live.has_bytes(number - 13, None), Has::Gone);

    // A gap of 20 s, and then another picture format in the same run.
    live.feed(&ended(fed(2, 0, 140, &index(100, 50))));
    let mut other = fed(3, 1, 144, &minute);
    other.of.entry_row = 2;
    live.feed(&Fed {
        index: &index(110, 50),
        ..other
    });
    live.readable(|_| u64::MAX);
    let text = live.playlist();
    let text = text.text();
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
    assert_eq!(tags(text, "MAP").len(), 2);
    let broken = text.find("#EXT-X-DISCONTINUITY\n").unwrap();
    assert!(
        text[broken..].contains("2026-11-22T10:02:20.000Z"),
        "{text}"
    );
    let number: u64 = tags(text, "MEDIA-SEQUENCE")[0].parse().unwrap();
    let numbers = number..number + durations(text).len() as u64;
    let times: Vec<u64> = numbers
        .map(|n| decode_time(&live.file(n, None).unwrap().unwrap()))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.contains(&(START.0 as u64 + 140 * 90_000)));

    // Once a break has left the playlist, it is counted.
    live.feed(&Fed {
        index: &index(1_600, 50),
        ..fed(3, 1, 144, &minute)
    });
    live.readable(|_| u64::MAX);
    let text = live.playlist();
    assert_eq!(tags(text.text(), "DISCONTINUITY-SEQUENCE"), ["2"]);
}

#[test]
fn an_index_that_is_encoded_anew_is_gone_on_with() {
    let plain = index(60, 50);
    let mut live = Live::new(&[fed(0, 0, 0, &plain)]).unwrap();
    let mut anew = Vec::new();
    let mut encoder = IndexEncoder::new(&mut anew, true);
    for i in 0..100 {
        let sample = Sample {
            media_start_90k: 0,
            duration_90k: FRAME,
            composition_offset_90k: if i < 60 { 0 } else { FRAME },
            offset: 0,
            bytes: 100,
            is_sync: i % 50 == 0,
        };
        encoder.add(&mut anew, &sample);
    }
    live.feed(&Fed {
        ended: true,
        ..fed(0, 0, 0, &anew)
    });
    live.readable(|_| u64::MAX);
    assert_eq!(durations(live.playlist().text()), [2.0, 2.0]);
}

#[test]
fn nothing_is_no_list() {
    assert!(Live::new(&[]).is_none());
    assert!(Live::new(&[fed(0, 0, 0, &[0])]).is_none());
}

fn summary(sequence: u32, run_offset: u32, at_secs: i64, index: &[u8]) -> Summary {
    let totals = crate::recording::index::totals(index).unwrap();
    let recording = Recording {
        id: RecordingId {
            stream: STREAM,
            sequence,
        },
        open: OpenId(3),
        run_offset,
        start: START + Duration90k::from_secs(at_secs),
        wall_duration: Duration90k(totals.media_duration_90k),
        media_duration: Duration90k(totals.media_duration_90k),
        clock_untrusted: false,
        sample_file_bytes: totals.bytes,
        video_samples: totals.samples,
        video_sync_samples: totals.sync_samples,
        sample_entry: entry(),
        index: index.to_vec(),
        data_hash: [0; 16],
        chain_hash: [0; 32],
        end_reason: String::new(),
    };
    let row = Row {
        dir: DirId(1),
        sample_entry_id: 1,
        prev_media_duration: Duration90k::ZERO,
        prev_runs: 0,
    };
    Summary::of(&recording, row).unwrap()
}

/// The playlist of recordings of 60 s that the database has, and of one that grows, as of `now_secs`.
fn recorded(
    span_secs: Range<i64>,
    committed: &[Summary],
    growing: Option<(Summary, Vec<u8>)>,
    now_secs: i64,
    kept: &mut Kept,
) -> Result<String, Refused> {
    let at = |secs| START + Duration90k::from_secs(secs);
    let mut ask = Recorded::new(STREAM, Some(at(span_secs.start)), Some(at(span_secs.end)))?;
    assert!(ask.is_new());
    let growing = growing.map(|(summary, index)| Uncommitted {
        summary,
        index: index.into(),
        growing: true,
    });
    ask.begin(growing.into_iter().collect());
    let minute: Arc<[u8]> = index(1_500, 50).into();
    while let Some(request) = ask.need(kept) {
        match request {
            db::Request::Summaries { .. } => ask.take(Reply::Summaries(committed.to_vec()))?,
            db::Request::Indexes(ids) => {
                assert!(!ids.is_empty());
                let found = ids.into_iter().map(|id| (id, Some(minute.clone())));
                ask.take(Reply::Indexes(found.collect()))?;
            }
            other => panic!("{other:?}"),
        }
    }
    let playlist = ask.finish(at(now_secs), kept)?;
    Ok(playlist.text().to_owned())
}

fn minutes(n: u32) -> Vec<Summary> {
    let minute = index(1_500, 50);
    let of = |i| summary(10 + i, i, 60 * i64::from(i), &minute);
    (0..n).map(of).collect()
}

#[test]
fn a_span_is_cut_at_sync_samples() {
    let mut kept = Kept::default();
    let text = recorded(65..100, &minutes(2), None, 1_000, &mut kept).unwrap();
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert_eq!(tags(&text, "PLAYLIST-TYPE"), ["VOD"]);
    assert_eq!(tags(&text, "TARGETDURATION"), ["6"]);
    // The whole segments that overlap it, from the one in which it begins.
    assert_eq!(durations(&text), [6.0; 7]);
    assert_eq!(tags(&text, "START"), ["TIME-OFFSET=5.000000,PRECISE=YES"]);
    assert_eq!(
        tags(&text, "PROGRAM-DATE-TIME"),
        ["2026-11-22T10:01:00.000Z"]
    );
    let first = START.0 + 60 * 90_000;
    let uri = format!("\nview.m4s?s=11@3&samples=0-150&decodeTime90k={first}\n");
    assert!(text.contains(&uri), "{text}");
    assert!(!text.contains("DISCONTINUITY"));
    // Asked again, nothing is cut again.
    assert_eq!(
        recorded(65..100, &minutes(2), None, 1_000, &mut kept).unwrap(),
        text
    );
}

#[test]
fn breaks_are_told() {
    let mut all = minutes(4);
    for s in &mut all[2..] {
        s.start = s.start + Duration90k::from_secs(30);
        s.run_offset -= 2;
    }
    let other = Arc::make_mut(&mut all[3].sample_entry);
    other.height = 720;
    all[3].sample_entry_id = 2;
    let mut kept = Kept::default();
    let text = recorded(0..1_000, &all, None, 2_000, &mut kept).unwrap();
    assert_eq!(durations(&text), [6.0; 40]);
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{text}");
    assert_eq!(tags(&text, "MAP").len(), 2);
    assert_eq!(tags(&text, "PROGRAM-DATE-TIME").len(), 4);
    assert_eq!(tags(&text, "START"), [""; 0]);
    // The second recording goes on where the first one ends; the third begins at its own time.
    for (sequence, secs) in [(11, 60), (12, 150), (13, 210)] {
        let time = START.0 + secs * 90_000;
        let uri = format!("view.m4s?s={sequence}@3&samples=0-150&decodeTime90k={time}\n");
        assert!(text.contains(&uri), "{uri} in {text}");
    }
}

#[test]
fn a_span_that_grows_only_gets_longer() {
    let mut kept = Kept::default();
    let mut before = String::new();
    let mut segments = Vec::new();
    for frames in [100, 310, 460, 1_100] {
        let growing = index(frames, 50);
        let grows = Some((summary(12, 2, 120, &growing), growing));
        let now = 120 + i64::from(frames / 25);
        let text = recorded(0..900, &minutes(2), grows, now, &mut kept).unwrap();
        assert_eq!(tags(&text, "PLAYLIST-TYPE"), ["EVENT"]);
        assert_eq!(tags(&text, "TARGETDURATION"), ["12"]);
        assert!(text.starts_with(&before), "{text}");
        segments.push(durations(&text).len());
        before = text;
    }
    // One that still grows is not listed.
    assert_eq!(segments, [20, 22, 23, 27]);
    let text = recorded(0..900, &minutes(3), None, 901, &mut kept).unwrap();
    let list = before.lines().skip_while(|l| !l.starts_with("#EXT-X-MAP"));
    let list: Vec<&str> = list.collect();
    assert!(text.contains(&list.join("\n")), "{text}");
    assert!(text.ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn a_start_that_was_told_stays() {
    let mut kept = Kept::default();
    let growing = index(310, 50);
    let mut first = summary(10, 0, 5, &growing);
    let text = |first: &Summary, kept: &mut Kept| {
        let grows = Some((first.clone(), growing.clone()));
        recorded(0..900, &[], grows, 20, kept).unwrap()
    };
    let before = text(&first, &mut kept);
    // An early frame shows that the run began before.
    first.start = START + Duration90k::from_secs(4);
    assert_eq!(text(&first, &mut kept), before);
    assert_ne!(text(&first, &mut Kept::default()), before);
    // So it is once the database has it.
    let done = summary(10, 0, 4, &index(1_500, 50));
    let text = recorded(0..900, &[done], None, 70, &mut kept).unwrap();
    assert!(text.starts_with(&before), "{text}");
}

#[test]
fn a_long_span_lists_whole_recordings() {
    let mut kept = Kept::default();
    let day = 0..24 * 3_600;
    let growing = index(400, 50);
    let grows = (summary(13, 3, 180, &growing), growing);
    let text = recorded(day, &minutes(3), Some(grows), 200, &mut kept).unwrap();
    assert_eq!(durations(&text), [60.0; 3]);
    let uri = format!("\nview.m4s?s=11@3&decodeTime90k={}\n", START.0 + 5_400_000);
    assert!(text.contains(&uri), "{text}");
    assert_eq!(tags(&text, "PLAYLIST-TYPE"), ["EVENT"]);
}

#[test]
fn what_is_no_span_is_refused() {
    let status = |start, end| Recorded::new(STREAM, start, end).err().unwrap().head.status;
    assert_eq!(status(None, None), Status::BadRequest);
    assert_eq!(status(Some(START), Some(START)), Status::BadRequest);
    let too_long = START + MAX_SPAN + Duration90k(1);
    assert_eq!(status(Some(START), Some(too_long)), Status::BadRequest);
    assert!(Recorded::new(STREAM, Some(START), None).is_ok());
    let mut kept = Kept::default();
    let nothing = recorded(0..10, &[], None, 1_000, &mut kept);
    assert_eq!(nothing.unwrap_err().head.status, Status::NotFound);
    assert!(CUT_SPAN < MAX_SPAN);
    for (text, range) in [
        ("0-60", Some(0..60)),
        ("60-60", None),
        ("-60", None),
        ("5", None),
        ("0-4294967296", None),
        ("+1-2", None),
    ] {
        assert_eq!(positions(text), range, "{text}");
    }
}
