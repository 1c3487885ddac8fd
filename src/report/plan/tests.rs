use proptest::prelude::*;

use super::layout::Graph;
use super::*;
use crate::build::{ReadFile, StepForecast};
use crate::plan::Lines;

fn at(line: usize) -> Lines {
    (line..=line).into()
}

fn step(line: usize, title: &str, fate: StepFate, reads: Vec<Read>) -> StepForecast {
    StepForecast { title: title.to_owned(), lines: at(line), fate, reads }
}

fn runs(why: &str) -> StepFate {
    StepFate::Runs { why: why.to_owned() }
}

fn file(path: &str, bytes: u64) -> ReadFile {
    ReadFile { path: path.to_owned(), bytes }
}

/// A builder of which one step runs, the image that copies from it, and a stage that is left out.
fn forecast() -> Forecast {
    let context = |paths: &[&str], files: Vec<ReadFile>| Read {
        from: Origin::Context,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        files: Some(files),
    };
    let of_builder = |path: &str| Read {
        from: Origin::Stage { index: 0, name: "builder".to_owned() },
        paths: vec![path.to_owned()],
        files: None,
    };
    let stage = |name: &str, line, base, fate, in_image, steps| StageForecast {
        name: name.to_owned(),
        lines: at(line),
        base,
        fate,
        in_image,
        steps,
    };
    Forecast {
        dockerfile: "Dockerfile".to_owned(),
        target: 2,
        platform: "linux/amd64".parse().unwrap(),
        stages: vec![
            stage(
                "builder",
                1,
                Origin::Image { name: "golang:1.12".to_owned() },
                StageFate::Runs,
                false,
                vec![
                    step(
                        2,
                        "COPY go.mod go.sum ./",
                        StepFate::Cached,
                        vec![context(
                            &["go.mod", "go.sum"],
                            vec![file("go.mod", 200), file("go.sum", 1000)],
                        )],
                    ),
                    step(
                        3,
                        "RUN go build -ldflags='-X \"main.version=<1>\" & more words than fit'",
                        runs("no result is known"),
                        vec![],
                    ),
                ],
            ),
            stage(
                "test",
                5,
                Origin::Stage { index: 0, name: "builder".to_owned() },
                StageFate::LeftOut,
                false,
                vec![step(6, "RUN go test", StepFate::LeftOut, vec![])],
            ),
            stage(
                "app",
                8,
                Origin::Scratch,
                StageFate::Runs,
                true,
                vec![
                    step(
                        9,
                        "COPY --from=builder /app /",
                        runs("reads builder, which runs"),
                        vec![of_builder("/app")],
                    ),
                    step(10, "CMD [\"/app\"]", StepFate::Config, vec![]),
                ],
            ),
        ],
    }
}

#[test]
fn text_has_a_paragraph_for_each_stage() {
    let expected = "\
Dockerfile → app, linux/amd64: 2 of 3 steps run, 1 stage is left out

builder (line 1) on golang:1.12: 1 to run, 1 cached
   2  COPY go.mod go.sum ./                                       cached
        ← 2 files, 1.2 kB of the context
   3  RUN go build -ldflags='-X \"main.version=<1>\" & more words…  runs: no result is known

app (line 8) on scratch: 1 to run, in the image
   9  COPY --from=builder /app /  runs: reads builder, which runs
  10  CMD [\"/app\"]

left out: test (line 5)
";
    assert_eq!(text(&forecast()), expected);
}

#[test]
fn headlines_count() {
    let mut forecast = forecast();
    forecast.stages.remove(1);
    forecast.target = 1;
    let counted = |forecast: &Forecast| {
        headline(forecast).split_once(": ").map(|(_, count)| count.to_owned()).unwrap()
    };
    assert_eq!(counted(&forecast), "2 of 3 steps run");
    forecast.stages[0].steps[1].fate = StepFate::Cached;
    assert_eq!(counted(&forecast), "1 of 3 steps runs");
    forecast.stages[1].steps[0].fate = StepFate::Cached;
    assert_eq!(counted(&forecast), "all 3 steps are cached");
    forecast.stages[0].steps.clear();
    assert_eq!(counted(&forecast), "its step is cached");
    forecast.stages[1].steps.clear();
    assert_eq!(counted(&forecast), "no steps");
}

#[test]
fn json_names_what_every_step_reads_and_why_it_runs() {
    let value = json(&forecast());
    assert_eq!(value["steps_to_run"], 2);
    assert_eq!(value["steps"], 3);
    assert_eq!(value["stages_left_out"], 1);
    assert_eq!(value["platform"], "linux/amd64");
    assert_eq!(value["stages"][1]["fate"], "left_out");
    let copy = &value["stages"][0]["steps"][0];
    assert_eq!(copy["fate"], "cached");
    assert_eq!(copy["lines"], json!([2, 2]));
    assert_eq!(copy["reads"][0]["from"], json!({ "kind": "context" }));
    assert_eq!(copy["reads"][0]["files"][1], json!({ "path": "go.sum", "bytes": 1000 }));
    let read = &value["stages"][2]["steps"][0];
    assert_eq!(read["why"], "reads builder, which runs");
    assert_eq!(read["reads"][0]["from"], json!({ "kind": "stage", "index": 0, "name": "builder" }));
    assert_eq!(read["reads"][0]["files"], Value::Null);
}

#[test]
fn mermaid_has_an_arrow_for_whatever_is_read() {
    let expected = "\
flowchart LR
  s0[\"builder<br>on golang:1.12<br>1 to run, 1 cached\"]:::runs
  s1[\"test<br>on builder<br>left out\"]:::leftout
  s2[[\"app<br>on scratch<br>1 to run\"]]:::runs
  c0([\"the context\"])
  c0 -->|\"go.mod go.sum\"| s0
  s0 -.-> s1
  s0 -->|\"/app\"| s2
  classDef runs stroke:#d97706,stroke-width:3px
  classDef cached stroke:#16a34a
  classDef unseen stroke:#16a34a,stroke-dasharray:2 2
  classDef leftout stroke:#9ca3af,stroke-dasharray:6 4,color:#9ca3af
";
    assert_eq!(mermaid(&forecast()), expected);
}

/// What a name could do to a document.
const EVIL: &str = "\"]; <b>&amp;</b> `x` --> |y| #1; %% \u{1b}[2J\n end ü";

fn evil() -> Forecast {
    let mut forecast = forecast();
    forecast.dockerfile = EVIL.to_owned();
    for stage in &mut forecast.stages {
        stage.name = EVIL.to_owned();
        stage.base = Origin::Image { name: EVIL.to_owned() };
        for step in &mut stage.steps {
            step.title = EVIL.to_owned();
            for read in &mut step.reads {
                read.from = Origin::NamedContext { name: EVIL.to_owned() };
                read.paths = vec![EVIL.to_owned()];
                read.files = Some(vec![file(EVIL, 1)]);
            }
        }
    }
    forecast
}

#[test]
fn no_name_ends_a_label_of_mermaid() {
    let document = mermaid(&evil());
    // Each quote begins or ends one of our labels; what is inside has no markup.
    for line in document.lines().filter(|line| line.contains('"')) {
        let parts: Vec<&str> = line.split('"').collect();
        assert_eq!(parts.len(), 3, "{line}");
        let label = parts[1].replace("<br>", "");
        assert!(!label.contains(['<', '>', '|', '`', '&', '\u{1b}']), "{line}");
        let entities = label.matches('#').count();
        assert_eq!(entities, label.matches(';').count(), "{line}");
    }
    // The diagram's kind, three stages, a context, two arrows, four classes.
    assert_eq!(document.lines().count(), 11);
}

/// Checks that tags are closed in order, and that text has no bare markup; the texts.
fn texts_of(document: &str) -> Vec<String> {
    let (mut open, mut texts) = (Vec::new(), Vec::new());
    let mut rest = document;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "{text}");
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "{text}");
        }
        texts.push(text.to_owned());
        let end = rest[start..].find('>').expect("a tag ends") + start;
        let tag = &rest[start + 1..end];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{document}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, [""; 0]);
    texts
}

#[test]
fn the_picture_is_a_well_formed_document_of_all_stages() {
    let document = svg(&forecast());
    let texts = texts_of(&document);
    for expected in
        ["builder", "test", "app", "1 to run, 1 cached", "← 2 files, 1.2 kB of the context"]
    {
        assert!(texts.iter().any(|text| text == expected), "{expected}\n{document}");
    }
    assert!(document.contains("prefers-color-scheme:dark"));
    // One arrow, for the COPY, besides those of the legend; the stage left out has none.
    assert_eq!(document.matches("class=\"tip").count(), 1);

    let texts = texts_of(&svg(&evil()));
    assert!(texts.iter().all(|text| !text.contains('\u{1b}')));
    let title = "&quot;]; &lt;b&gt;&amp;amp;&lt;/b";
    assert!(texts.iter().any(|text| text.starts_with(title)), "{texts:?}");
}

#[test]
fn a_stage_of_many_steps_shows_the_first() {
    let mut forecast = forecast();
    let many = (0..40).map(|line| step(line, &format!("ENV A={line}"), StepFate::Config, vec![]));
    forecast.stages[0].steps = many.collect();
    let texts = texts_of(&svg(&forecast));
    assert!(texts.iter().any(|text| text == "ENV A=16"));
    assert!(texts.iter().any(|text| text == "… 23 more steps"));
    assert!(!texts.iter().any(|text| text == "ENV A=17"));
}

proptest! {
    /// Cards of a column don't overlap, and every arrow goes to a later column.
    #[test]
    fn cards_have_room(
        heights in prop::collection::vec(20.0_f64..300.0, 1..25),
        pairs in prop::collection::vec((0_usize..25, 0_usize..25), 0..40),
    ) {
        let arrows: Vec<(usize, usize)> =
            pairs.into_iter().filter(|(from, to)| from < to && *to < heights.len()).collect();
        let layout = Graph { heights: &heights, arrows: &arrows }.layout();
        for (first, (column, top)) in layout.cards.iter().enumerate() {
            prop_assert!(*top >= 0.0 && top + heights[first] <= layout.height + 0.001);
            prop_assert!(*column < layout.columns);
            for (second, (other, below)) in layout.cards.iter().enumerate() {
                let apart = top + heights[first] <= *below || below + heights[second] <= *top;
                prop_assert!(first == second || column != other || apart);
            }
        }
        for ((from, to), bends) in std::iter::zip(&arrows, &layout.bends) {
            let (from, to) = (layout.cards[*from].0, layout.cards[*to].0);
            prop_assert!(from < to);
            prop_assert_eq!(bends.len(), to - from - 1);
        }
    }
}
