//! Prints a diagnosis.
fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    print!(
        "{}",
        evenkeel_doctor::render::to_text(&evenkeel_doctor::diagnose(
            &evenkeel_doctor::source::read_paths(&paths).unwrap()
        ))
    );
}
