use proptest::prelude::*;

use super::*;

fn at(unix: i64) -> Time {
    Time::from_unix(unix)
}

fn span(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end))
}

/// `fixtures/proration/vectors.json`, as published.
#[derive(Deserialize)]
struct Vector {
    name: String,
    start: i64,
    end: i64,
    paid: i128,
    t: i64,
    fee_bps: u32,
    notice: i64,
    keep_bps: u32,
    void: bool,
    offline: Vec<(i64, i64)>,
    refund: i128,
    owner: i128,
    fee: i128,
    gross: i128,
}

#[test]
fn every_published_vector_comes_out_exactly() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../fixtures/proration/vectors.json")).unwrap();
    assert!(vectors.len() >= 22);
    for v in vectors {
        let terms = Terms { notice_s: v.notice, keep_bps: v.keep_bps, fee_bps: v.fee_bps, void: v.void };
        let offline: Vec<_> = v.offline.iter().map(|&(a, b)| span(a, b)).collect();
        let got = split(span(v.start, v.end), v.paid, at(v.t), &terms, &offline);
        assert_eq!(got, Split { refund: v.refund, owner: v.owner, fee: v.fee }, "{}", v.name);
        assert_eq!(got.gross(), v.gross, "{}", v.name);
    }
}

#[test]
fn a_moderated_split_gives_the_odd_units_to_the_largest_remainders() {
    assert_eq!(largest_remainder(100, &[1, 1, 1]), Some(vec![34, 33, 33]));
    assert_eq!(largest_remainder(134_698, &[6667, 3333]), Some(vec![89_803, 44_895]));
    assert_eq!(largest_remainder(5, &[0, 0]), None);
}

#[test]
fn outages_become_fewer_by_filling_the_shortest_gaps() {
    let outages = [span(50, 60), span(0, 10), span(13, 20), span(22, 30), span(25, 26)];
    let all = span(-100, 55);
    assert_eq!(union_of(9, &outages, all), [span(0, 10), span(13, 20), span(22, 30), span(50, 55)]);
    assert_eq!(union_of(3, &outages, all), [span(0, 10), span(13, 30), span(50, 55)]);
    assert_eq!(union_of(2, &outages, all), [span(0, 30), span(50, 55)]);
    assert_eq!(union_of(0, &outages, all), [span(0, 55)]);
    assert_eq!(union_of(2, &outages, span(30, 30)), []);
}

#[derive(Debug, Clone)]
struct Case {
    segment: Interval,
    paid: i128,
    t: Time,
    terms: Terms,
    offline: Vec<Interval>,
}

fn cases() -> impl Strategy<Value = Case> {
    let offline = prop::collection::vec((-50i64..1200, 0i64..400), 0..5);
    let terms = (0i64..300, 0u32..=10_000, 0u32..=10_000, prop::bool::weighted(0.05));
    (0i64..200, 1i64..1000, 0i128..=crate::money::MAX_MINOR, 0u32..91, -100i64..1300, terms, offline)
        .prop_map(|(start, length, paid, shift, t, (notice_s, keep_bps, fee_bps, void), offline)| Case {
            segment: span(start, start + length),
            paid: paid >> shift,
            t: at(t),
            terms: Terms { notice_s, keep_bps, fee_bps, void },
            offline: offline.into_iter().map(|(a, len)| span(a, a + len)).collect(),
        })
}

fn run(c: &Case) -> Split {
    split(c.segment, c.paid, c.t, &c.terms, &c.offline)
}

fn without_forfeiture(mut c: Case) -> Case {
    c.terms = Terms { fee_bps: c.terms.fee_bps, ..Terms::default() };
    c
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn p1_the_parts_add_up_to_what_was_paid(c in cases()) {
        let s = run(&c);
        prop_assert_eq!(s.refund + s.owner + s.fee, c.paid);
        prop_assert!(s.refund >= 0 && s.owner >= 0 && s.fee >= 0);
    }

    #[test]
    fn p2_what_is_earned_never_shrinks_with_time(c in cases(), later in 0i64..500) {
        let c = without_forfeiture(c);
        let after = Case { t: c.t.plus(later), ..c.clone() };
        prop_assert!(run(&after).gross() >= run(&c).gross());
    }

    #[test]
    fn p3_before_the_start_all_comes_back_and_after_the_end_nothing(c in cases()) {
        let c = Case { offline: vec![], ..without_forfeiture(c) };
        let before = Case { t: c.segment.start.plus(-1), ..c.clone() };
        let after = Case { t: c.segment.end, ..c.clone() };
        prop_assert_eq!(run(&before).refund, c.paid);
        prop_assert_eq!(run(&after).refund, 0);
    }

    #[test]
    fn p4_the_refund_is_less_than_one_unit_above_the_exact_one(c in cases()) {
        let c = Case { paid: c.paid % 1_000_000_000_000, ..without_forfeiture(c) };
        let s = run(&c);
        let length = i128::from(c.segment.len());
        let cut = c.t.clamp(c.segment.start, c.segment.end);
        let used = cut.since(c.segment.start) - union_len(&c.offline, Interval::new(c.segment.start, cut));
        let exact_times_length = c.paid * (length - i128::from(used));
        let over = s.refund * length - exact_times_length;
        prop_assert!((0..length).contains(&over));
    }

    #[test]
    fn p5_any_accrual_schedule_adds_up_to_the_final_amount(c in cases(), mut stops in prop::collection::vec(0i64..1300, 0..20)) {
        let c = without_forfeiture(c);
        stops.sort_unstable();
        stops.push(i64::from(i32::MAX));
        let (mut posted, mut sum) = (0, 0);
        for stop in stops {
            let gross = run(&Case { t: at(stop), ..c.clone() }).gross();
            sum += gross - posted;
            posted = gross;
        }
        prop_assert_eq!(sum, run(&Case { t: at(i64::from(i32::MAX)), ..c.clone() }).gross());
    }

    #[test]
    fn p6_only_distances_in_time_matter_and_more_outage_never_lowers_the_refund(c in cases(), k in -1000i64..1_000_000, extra in (0i64..1000, 0i64..300)) {
        let move_by = |i: &Interval| Interval::new(i.start.plus(k), i.end.plus(k));
        let shifted = Case {
            segment: move_by(&c.segment), t: c.t.plus(k), offline: c.offline.iter().map(move_by).collect(), ..c.clone()
        };
        prop_assert_eq!(run(&shifted), run(&c));
        let mut shuffled = c.clone();
        shuffled.offline.reverse();
        shuffled.offline.extend(c.offline.clone());
        prop_assert_eq!(run(&shuffled), run(&c));
        let mut worse = c.clone();
        worse.offline.push(span(extra.0, extra.0 + extra.1));
        prop_assert!(run(&worse).refund >= run(&c).refund);
    }

    #[test]
    fn a_moderated_split_neither_makes_nor_loses_a_unit(total in 0..=crate::money::MAX_MINOR, weights in prop::collection::vec(0u64..10_000, 1..6)) {
        if let Some(shares) = largest_remainder(total, &weights) {
            prop_assert_eq!(shares.iter().sum::<i128>(), total);
            prop_assert!(shares.iter().all(|s| *s >= 0));
        }
    }
}
