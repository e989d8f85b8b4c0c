//! Searching the market.

use domain::{money::Asset, offer::Unit};
use fixtures::market::{Crowd, Market};
use projections::views::market::{MarketFilter, MarketRow, MarketSort};

use super::market::World;

/// Whether a filter lets a row through.
type Chosen<'a> = &'a dyn Fn(&MarketRow) -> bool;

#[tokio::test]
async fn the_market_is_filtered_sorted_and_paged_as_asked() {
    // Most of them wait to be rented.
    let crowd = Crowd {
        devices: 60,
        idle: 50,
        owner_every: 10,
        renter_permille: 10,
        term_s: 43_200,
        quiet_percent: 80,
    };
    let world = World::from_history(Market::crowded(108, crowd).0.take(1_000).collect()).await;
    let all = world.views.market(MarketFilter::default(), MarketSort::Newest, None, 500).await.unwrap();
    assert!(all.len() > 20, "{} can be rented", all.len());
    for sort in MarketSort::ALL {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = world.views.market(MarketFilter::default(), sort, after, 1).await.unwrap();
            let Some(last) = page.last() else { break };
            // As a client sends it back.
            after = Some(last.cursor(sort).to_string().parse().unwrap());
            seen.extend(page);
        }
        assert_eq!(seen.len(), all.len(), "{sort:?}");
        let in_order = |a: &_, b: &_| {
            let (a, b): (&MarketRow, &MarketRow) = (a, b);
            match sort {
                MarketSort::Price => a.price_key <= b.price_key,
                MarketSort::PriceFor(Unit::Hour) => a.hour_key <= b.hour_key,
                MarketSort::PriceFor(Unit::Day) => a.day_key <= b.day_key,
                MarketSort::PriceFor(Unit::Week) => a.week_key <= b.week_key,
                MarketSort::PriceFor(Unit::Month) => a.month_key <= b.month_key,
                MarketSort::Cores => a.cores >= b.cores,
                MarketSort::Bandwidth => a.bandwidth_kbit_s >= b.bandwidth_kbit_s,
                MarketSort::Memory => a.memory_mib >= b.memory_mib,
                MarketSort::Disk => a.disk_mib >= b.disk_mib,
                MarketSort::Uptime => a.uptime_ppm >= b.uptime_ppm,
                MarketSort::Newest => a.position > b.position,
            }
        };
        assert!(seen.is_sorted_by(in_order), "{sort:?}");
        // A search goes through the same rows in the same order, whatever it leaves out.
        let wanted = MarketFilter { text: Some("S".into()), ..MarketFilter::default() };
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = world.views.market(wanted.clone(), sort, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.cursor(sort));
            found.extend(page);
        }
        seen.retain(|row| row.words.contains('s'));
        assert_eq!(found, seen, "{sort:?}");
        assert!((1..all.len()).contains(&seen.len()), "{sort:?}: {} of {}", seen.len(), all.len());
    }
    let row = &all[0];
    let exact = MarketFilter {
        max_price_per_hour: row.price_per_hour(),
        min_memory_mib: Some(row.memory_mib),
        min_disk_mib: Some(row.disk_mib),
        min_cores: Some(row.cores),
        min_uptime_ppm: Some(row.uptime_ppm),
        place: row.place.clone(),
        asset: row.asset,
        max_price: row.price_for(Unit::Day).map(|price| (Unit::Day, price)),
        min_bandwidth_kbit_s: Some(row.bandwidth_kbit_s),
        processor: Some("CORTEX-a7".into()),
        text: Some(row.title.to_uppercase()),
    };
    let found = world.views.market(exact.clone(), MarketSort::Price, None, 500).await.unwrap();
    assert!(found.contains(row));
    for (sort, unit) in
        MarketSort::ALL.iter().zip([Unit::Hour, Unit::Day, Unit::Week, Unit::Month].iter().cycle())
    {
        let filters: [(MarketFilter, Chosen<'_>); 8] = [
            (MarketFilter { text: Some("rd".into()), ..MarketFilter::default() }, &|r| {
                r.words.contains("rd")
            }),
            (MarketFilter { processor: Some("o".into()), ..MarketFilter::default() }, &|r| {
                r.processor.contains('o')
            }),
            // A place is named exactly; only a text may be in letters of any size.
            (
                MarketFilter {
                    place: row.place.as_ref().map(|place| place.to_uppercase()),
                    ..MarketFilter::default()
                },
                &|_| false,
            ),
            (MarketFilter { text: Some("oard 1".into()), ..MarketFilter::default() }, &|r| {
                r.title.contains("oard 1")
            }),
            (MarketFilter { text: Some("a".into()), ..MarketFilter::default() }, &|_| true),
            (MarketFilter { processor: Some("board".into()), ..MarketFilter::default() }, &|_| false),
            (MarketFilter { place: row.place.clone(), ..MarketFilter::default() }, &|r| r.place == row.place),
            (
                MarketFilter {
                    max_price: row.price_for(*unit).map(|p| (*unit, p)),
                    ..MarketFilter::default()
                },
                &|r| r.asset == row.asset && r.price_for(*unit) <= row.price_for(*unit),
            ),
        ];
        for (filter, lets_through) in filters {
            let found = world.views.market(filter.clone(), *sort, None, 500).await.unwrap();
            let mut expected: Vec<_> =
                all.iter().filter(|row| lets_through(row)).map(|row| row.device).collect();
            let mut found: Vec<_> = found.into_iter().map(|row| row.device).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    for row in &all {
        let offer = row.offer.as_ref().unwrap();
        // The term limits of these offers allow exactly these terms.
        for unit in [Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
            assert_eq!(row.price_for(unit), offer.price(unit.seconds()));
        }
    }
    let mut places: Vec<_> = all.iter().filter_map(|row| row.place.clone()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(world.views.places(500).await.unwrap(), places);
    let dearer = MarketFilter { min_memory_mib: Some(row.memory_mib + 1), ..exact.clone() };
    assert!(!world.views.market(dearer, MarketSort::Price, None, 500).await.unwrap().contains(row));
    let other = Asset::ALL.iter().find(|asset| Some(**asset) != row.asset).copied();
    let foreign = MarketFilter { asset: other, max_price_per_hour: None, ..exact };
    assert!(!world.views.market(foreign, MarketSort::Price, None, 500).await.unwrap().contains(row));
}
