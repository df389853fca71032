//! Scores the doctor on a folder of labelled captures.
fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let only: Option<Vec<String>> = std::env::args().nth(2).map(|p| {
        std::fs::read_to_string(p)
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    });
    let invert = std::env::args().nth(3).is_some();
    let score = evenkeel_doctor::score(folder.as_ref(), |n| {
        only.as_ref()
            .is_none_or(|o| o.iter().any(|x| x == n) != invert)
    })
    .unwrap();
    println!("{}", score.report());
}
