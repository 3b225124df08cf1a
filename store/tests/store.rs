use syncline_store as s;
#[tokio::main]
async fn main() {
    s::run_engine_if_child();
    let dir = std::env::args().nth(1).unwrap();
    let t = std::time::Instant::now();
    let st = s::open(&s::Location::Embedded(dir.into()), &s::OpenOptions::default()).await.unwrap();
    println!("{:?} {:?}", t.elapsed(), st.migrate().await.map_err(|e| e.to_string()));
    for q in std::env::args().skip(2) {
        match st.query_text(&q, "PrettyCompact").await { Ok(v) => println!("{}", String::from_utf8_lossy(&v)), Err(e) => println!("{e}") }
    }
    let t = std::time::Instant::now();
    println!("{:?} {:?}", st.close().await, t.elapsed());
}
