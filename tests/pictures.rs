//! Pages and pictures in a real browser: what they show, what they do, and what they never do.

#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/program.rs"]
mod program;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chromium::Browser;
use program::Home;
use serde_json::{Value, json};

/// Two images of four layers, of which the second has more, less and other files.
const DOCKERFILE: &str = "FROM scratch\n\
    COPY first /srv/\n\
    COPY second /srv/\n\
    COPY odd /odd/\n\
    COPY last /srv/<b>&lt;bold/</b>/\n";

/// Names that try to end a script, an attribute, a line or a reading direction. The last is not UTF-8.
const ODD: [&[u8]; 7] = [
    b"<script>alert(1)<",
    b"\"'><b onmouseover=alert(1)>&lt;{{data}}",
    b"two\nlines\ttab\x1b[31m",
    "\u{202e}txt.exe\u{2066}".as_bytes(),
    "line\u{2028}paragraph\u{2029}\u{feff}\u{ffff}".as_bytes(),
    "קובץ.קוד-😀-\\".as_bytes(),
    b"latin\xe9\xff",
];

struct Images {
    home: Home,
}

impl Images {
    fn new() -> Self {
        let home = Home::new(DOCKERFILE);
        let big = |bytes: usize| vec![b'x'; bytes];
        home.write("context/first/model.bin", big(3_000_000));
        home.write("context/first/lib/libdata.so", big(2_000_000));
        for index in 0..40 {
            home.write(&format!("context/first/lib/part/{index}.o"), big(20_000 + index * 500));
        }
        home.write("context/second/model.bin", big(2_500_000));
        home.write("context/last/hello", "hello");
        std::fs::create_dir_all(home.path().join("context/odd")).unwrap();
        for name in ODD {
            let path = home.path().join("context/odd").join(OsStr::from_bytes(name));
            std::fs::write(path, big(300_000)).unwrap();
        }
        let images = Self { home };
        images.build("old");
        images.home.write("context/first/added.bin", big(1_000_000));
        images.home.write("context/first/lib/libdata.so", big(2_600_000));
        std::fs::remove_file(images.home.path().join("context/first/lib/part/39.o")).unwrap();
        images.build("new");
        images
    }

    fn build(&self, name: &str) {
        self.home.built(&["--output", &format!("type=oci,dest={name},tar=false")]);
    }

    fn said(&self, words: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(words)
            .args(["--file", "context/Dockerfile"])
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", program::stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn weigh(&self, format: &str) -> String {
        self.said(&["weigh", "oci:new", "--format", format])
    }

    fn diff(&self, format: &str) -> String {
        self.said(&["diff", "oci:old", "oci:new", "--format", format])
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        self.home.write(name, content);
        self.home.path().join(name)
    }
}

/// The labels of what is drawn.
const LABELS: &str = "[...document.querySelectorAll('#treemap text')].map((e) => e.textContent)";
const CRUMBS: &str =
    "[...document.querySelectorAll('#crumbs button')].map((e) => e.textContent).join(' ')";

/// The element that is drawn for the directory or file of this path.
fn drawn(path: &str) -> String {
    let path = json!(path);
    format!(
        "[...document.querySelectorAll('#treemap g[aria-label]')]\
         .find((e) => e.getAttribute('aria-label').startsWith({path} + ','))"
    )
}

/// Nothing was complained of and nothing but the page itself was asked for.
fn assert_quiet(browser: &mut Browser, page: &Path) {
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    assert_eq!(browser.requests(), [format!("file://{}", page.display())]);
}

#[test]
fn the_page_of_an_image_zooms_searches_sorts_and_changes_its_theme() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    let page = images.file("weight.html", &images.weigh("html"));
    browser.emulate(1280, 900, "light");
    browser.open(&page);
    let labels = browser.evaluate(LABELS).to_string();
    for label in ["srv ", "model.bin", "libdata.so", "replaced or removed"] {
        assert!(labels.contains(label), "{label}: {labels}");
    }
    assert_eq!(browser.text(CRUMBS), "/");

    // A click on the name of a directory, on a file in another, and all the way back.
    browser.click(&drawn("/srv/lib"), 20.0, 8.0);
    assert_eq!(browser.text(CRUMBS), "/ srv lib");
    assert!(!browser.evaluate(LABELS).to_string().contains("model.bin"));
    browser.press("Escape", 27);
    assert_eq!(browser.text(CRUMBS), "/ srv");
    browser.click(&drawn("/srv/lib/libdata.so"), 20.0, 20.0);
    assert_eq!(browser.text(CRUMBS), "/ srv lib");
    browser.click("document.querySelector('#crumbs button')", 2.0, 2.0);
    assert_eq!(browser.text(CRUMBS), "/");

    // The same by the keyboard: into the directory, to the first in it, the heaviest, and into that.
    browser.evaluate(&format!("{}.focus()", drawn("/srv")));
    browser.press("ArrowDown", 40);
    browser.press("Enter", 13);
    assert_eq!(browser.text(CRUMBS), "/ srv lib");
    browser.press("Escape", 27);
    browser.press("Escape", 27);
    assert_eq!(browser.text(CRUMBS), "/");

    // The tooltip of what is under the mouse: size, layer and line.
    browser.evaluate(&format!(
        "{}.firstChild.dispatchEvent(new PointerEvent('pointermove', {{ bubbles: true }}))",
        drawn("/srv/model.bin")
    ));
    let tip = browser.text("document.getElementById('tip').innerText");
    for words in ["/srv/model.bin", "2.5 MB", "2 · line 3 · COPY second /srv/"] {
        assert!(tip.contains(words), "{words}: {tip}");
    }

    // Search finds, lights and shows.
    browser.evaluate("document.getElementById('search').focus()");
    browser.write("LIB data");
    let found = browser.text("document.getElementById('found').innerText");
    assert!(found.contains("/srv/lib/libdata.so") && found.contains("2.6 MB"), "{found}");
    assert_eq!(browser.evaluate("document.querySelectorAll('#treemap .found').length"), 1);
    assert!(
        browser.evaluate("document.querySelectorAll('#treemap .dim').length").as_u64() > Some(5)
    );
    browser.press("Enter", 13);
    assert_eq!(browser.text(CRUMBS), "/ srv lib");
    assert_eq!(
        browser.text("document.querySelector('#treemap .found text').textContent"),
        "libdata.so"
    );
    browser.press("Escape", 27);
    assert_eq!(browser.evaluate("document.querySelectorAll('#treemap .found').length"), 0);

    // The theme of the system, and the other one.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = browser.text(ground);
    browser.emulate(1280, 900, "dark");
    let dark = browser.text(ground);
    assert_ne!(light, dark);
    browser.click("document.getElementById('theme')", 10.0, 10.0);
    assert_eq!(browser.text(ground), light);

    // A table sorts by numbers.
    let sizes = "[...document.querySelectorAll('table.sortable')].at(0).tBodies[0].innerText";
    browser.click("document.querySelectorAll('table.sortable th button')[1]", 5.0, 5.0);
    let order = "document.querySelector('table.sortable th[aria-sort]').getAttribute('aria-sort')";
    assert_eq!(browser.text(order), "descending");
    assert!(browser.text(sizes).contains("build context"));

    // On a phone nothing is wider than the screen.
    browser.emulate(360, 740, "dark");
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), 360);
    assert_quiet(&mut browser, &page);
}

#[test]
fn odd_names_are_shown_and_do_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    browser.emulate(1280, 900, "light");
    for (name, html) in [("weight.html", images.weigh("html")), ("diff.html", images.diff("html"))]
    {
        let page = images.file(name, &html);
        browser.open(&page);
        assert_eq!(browser.evaluate("document.querySelectorAll('img, b, script').length"), 2);
        let title = browser.text("document.title");
        assert!(title.starts_with("oci:"), "{title}");
        browser.evaluate("document.getElementById('search').focus()");
        browser.write("odd");
        browser.press("Enter", 13);
        assert_quiet(&mut browser, &page);
    }
    let page = images.file("weight.html", &images.weigh("html"));
    browser.open(&page);
    let names =
        browser.evaluate("root.children.find((n) => n.name === 'odd').children.map(pathOf)");
    let mut names: Vec<&str> =
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "/odd/\"'><b onmouseover=alert(1)>&lt;{{data}}",
            "/odd/<script>alert(1)<",
            "/odd/latin\\xe9\\xff",
            "/odd/line\u{2028}paragraph\u{2029}\u{feff}\u{ffff}",
            "/odd/two\u{fffd}lines\u{fffd}tab\u{fffd}[31m",
            "/odd/קובץ.קוד-😀-\\\\",
            "/odd/\u{fffd}txt.exe\u{fffd}",
        ]
    );
}

#[test]
fn the_policy_of_the_page_forbids_requests_and_other_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    let page = images.file("weight.html", &images.weigh("html"));
    browser.open(&page);
    let forbidden = browser.evaluate(
        "new Promise((resolve) => {
            const seen = [];
            document.addEventListener('securitypolicyviolation', (event) => {
                seen.push(event.effectiveDirective);
                if (seen.length === 5) resolve(seen.sort());
            });
            fetch('http://127.0.0.1:9/').catch(() => {});
            new Image().src = 'http://127.0.0.1:9/a.png';
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            document.body.append(script);
            document.body.insertAdjacentHTML('beforeend', '<i onclick=\"0\" style=\"color: red\">');
            document.body.lastChild.click();
        })",
    );
    let expected =
        json!(["connect-src", "img-src", "script-src-attr", "script-src-elem", "style-src-attr"]);
    assert_eq!(forbidden, expected);
    assert_eq!(browser.evaluate("window.ran === undefined"), true);
}

#[test]
fn the_page_of_a_difference_shows_what_changed_and_how() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    let page = images.file("diff.html", &images.diff("html"));
    browser.emulate(1280, 900, "dark");
    browser.open(&page);
    let labels = browser.evaluate(LABELS);
    let labels = labels.as_array().unwrap();
    for label in ["+ added.bin", "▲ libdata.so"] {
        assert!(labels.contains(&json!(label)), "{label}: {labels:?}");
    }
    assert!(!labels.contains(&json!("model.bin")), "it is the same in both");
    let legend = browser.text("document.getElementById('legend').innerText");
    for words in ["+ added", "1.0 MB", "▲ grown", "600.0 kB", "− removed", "39.5 kB"] {
        assert!(legend.contains(words), "{words}: {legend}");
    }
    // The legend lights one kind; Escape ends that.
    browser.click("document.querySelector('#legend button')", 5.0, 5.0);
    assert_eq!(browser.evaluate("document.querySelectorAll('#treemap .tile:not(.dim)').length"), 1);
    browser.press("Escape", 27);
    assert_eq!(browser.evaluate("document.querySelectorAll('#treemap .dim').length"), 0);
    // The whole image has what did not change too.
    browser.click("document.querySelectorAll('.choice button')[1]", 5.0, 5.0);
    assert!(browser.evaluate(LABELS).to_string().contains("model.bin"));
    assert_quiet(&mut browser, &page);
}

#[test]
fn an_svg_is_a_document_of_its_own() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    for (name, svg) in [("weight.svg", images.weigh("svg")), ("diff.svg", images.diff("svg"))] {
        let picture = images.file(name, &svg);
        for (theme, ground) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(15, 19, 23)")] {
            browser.emulate(960, 600, theme);
            browser.open(&picture);
            assert_eq!(browser.text("document.documentElement.tagName"), "svg", "well-formed");
            let fill = "getComputedStyle(document.querySelector('rect')).fill";
            assert_eq!(browser.text(fill), ground);
        }
        assert!(browser.evaluate("document.querySelectorAll('rect').length").as_u64() > Some(5));
        assert_eq!(browser.evaluate("document.querySelectorAll('script, img, b').length"), 0);
        let labels = browser.text("document.documentElement.textContent");
        let expected = if name == "diff.svg" { "▲ libdata.so" } else { "libdata.so" };
        assert!(labels.contains(expected), "{labels}");
        assert_quiet(&mut browser, &picture);
    }
}

/// Every size that the text says is on the page, in the same words and in the same row.
#[test]
fn the_page_says_the_same_as_the_text() {
    let Some(mut browser) = Browser::start() else { return };
    let images = Images::new();
    let page = images.file("weight.html", &images.weigh("html"));
    browser.open(&page);
    let text = images.weigh("text");
    let glance = browser.text("document.querySelector('.glance').innerText");
    let totals = text.lines().find(|line| line.starts_with("Size")).unwrap();
    let [compressed, unpacked, layers] =
        totals["Size".len()..].trim().split(", ").collect::<Vec<_>>()[..]
    else {
        panic!("{totals}")
    };
    for (name, value) in [("Compressed", compressed), ("Unpacked", unpacked), ("Layers", layers)] {
        let value: Vec<&str> =
            value.split(' ').take(if name == "Layers" { 1 } else { 2 }).collect();
        let figure = format!("{name}\n{}", value.join(" "));
        assert!(glance.contains(&figure), "{figure}: {glance}");
    }
    let rows = "[...document.querySelectorAll('table')].flatMap((table) => [...table.rows]\
        .map((row) => [...row.cells].map((cell) => cell.innerText.trim()).filter(Boolean).join('  ')))";
    let rows = browser.evaluate(rows);
    let rows: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let tables: Vec<&str> = text.split("\n\n").collect();
    let mut compared = 0;
    for table in tables.iter().filter(|t| t.starts_with("LAYER") || t.starts_with("FROM")) {
        for line in table.lines().skip(1) {
            // The page counts layers in a column, and cuts less of an instruction.
            let line = words(line).replace(" layers", "").replace(" layer", "").replace('…', "");
            assert!(rows.iter().any(|row| words(row).starts_with(&line)), "{line}: {rows:#?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 5, "four layers and one origin: {text}");
    // The numbers that the script computes are those of the program.
    let buried = text.lines().find(|line| line.starts_with("Not visible")).unwrap();
    let drawn = browser.text("human(root.children.find((node) => node.isGrave).unpacked)");
    assert!(buried.contains(&format!(" {drawn} unpacked")), "{drawn}: {buried}");
    assert!(unpacked.starts_with(&browser.text("human(root.unpacked)")), "{unpacked}");
    for (bytes, shown) in
        [(0_u64, "0 B"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (1050, "1.1 kB")]
    {
        assert_eq!(browser.text(&format!("human({bytes})")), shown);
    }
}

/// A project with packages of two kinds, built for one commit after the other.
struct Branch {
    home: Home,
    commits: u32,
}

impl Branch {
    fn new() -> Self {
        let mut home = Home::new("FROM scratch\nCOPY root /\n");
        home.set("GITHUB_ACTIONS", "true");
        home.set("GITHUB_REF", "refs/heads/main");
        home.write("context/root/usr/lib/libc.so.6", vec![b'c'; 900_000]);
        let list = "/usr/lib/libc.so.6\n";
        home.write("context/root/var/lib/dpkg/info/libc6.list", list);
        Self { home, commits: 0 }
    }

    /// A commit with this version of the C library, and so many bytes of the package `it`.
    fn build(&mut self, libc: &str, bytes: usize) {
        self.commits += 1;
        self.home.set("GITHUB_SHA", format!("c0ffee{:034x}", self.commits));
        let status = format!("Package: libc6\nStatus: install ok installed\nVersion: {libc}\n\n");
        self.home.write("context/root/var/lib/dpkg/status", status);
        let package = "context/root/app/node_modules/<b>it";
        self.home.write(&format!("{package}/index.js"), vec![b'j'; bytes]);
        self.home
            .write(&format!("{package}/package.json"), r#"{"name":"<b>it","version":"1.0.0"}"#);
        self.home.built(&[
            "--cache-to=type=local,dest=kept",
            "--cache-from=type=local,src=kept",
            "--size-baseline=auto",
            "--size-report=size.html",
            "--output-weight=weight",
        ]);
    }

    fn page(&self) -> PathBuf {
        self.home.path().join("size.html")
    }
}

/// The cells of the rows of the table under a heading.
fn rows(browser: &mut Browser, heading: &str) -> Value {
    let heading = json!(heading);
    browser.evaluate(&format!(
        "[...[...document.querySelectorAll('section')]\
         .find((s) => s.querySelector('h2')?.innerText.startsWith({heading}))\
         .querySelectorAll('tbody tr')]\
         .map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    ))
}

#[test]
fn packages_have_a_row_each() {
    let Some(mut browser) = Browser::start() else { return };
    let mut branch = Branch::new();
    branch.build("2.36", 400_000);
    let page = branch.page();
    browser.emulate(1280, 900, "light");
    browser.open(&page);
    let all = rows(&mut browser, "Packages").to_string();
    for words in ["libc6", "2.36", "900.0 kB", "<b>it", "1.0.0", "400.0 kB"] {
        assert!(all.contains(words), "{words}: {all}");
    }
    branch.build("2.37", 650_000);
    browser.open(&page);
    let changed = rows(&mut browser, "Packages");
    let changed = changed.as_array().unwrap();
    assert_eq!(changed.len(), 2, "{changed:?}");
    let [first, second] = [&changed[0], &changed[1]].map(Value::to_string);
    for (row, words) in
        [(&first, ["<b>it", "+250.0 kB", "grown"]), (&second, ["libc6", "2.36", "2.37"])]
    {
        for word in words {
            assert!(row.contains(word), "{word}: {row}");
        }
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('table b b, td > b > b').length"), 0);
    assert_quiet(&mut browser, &page);
}

#[test]
fn the_history_of_a_branch_is_drawn_build_by_build() {
    let Some(mut browser) = Browser::start() else { return };
    let mut branch = Branch::new();
    let page = branch.page();
    branch.build("2.36", 100_000);
    browser.open(&page);
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.charts').length"),
        0,
        "one is no line"
    );
    let sizes = [300_000, 200_000, 700_000];
    sizes.iter().for_each(|bytes| branch.build("2.36", *bytes));
    for theme in ["light", "dark"] {
        browser.emulate(1280, 900, theme);
        browser.open(&page);
        let count = |browser: &mut Browser, what: &str| {
            browser.evaluate(&format!("document.querySelectorAll('.charts {what}').length"))
        };
        assert_eq!(count(&mut browser, "svg"), 2, "compressed and unpacked");
        assert_eq!(count(&mut browser, "circle"), 8);
        let titles = browser.evaluate(
            "[...document.querySelectorAll('.charts svg')[1].querySelectorAll('title')]\
             .map((title) => title.textContent)",
        );
        let titles = titles.as_array().unwrap();
        let expected = ["1.0 MB", "1.2 MB", "1.1 MB", "1.6 MB"];
        for (title, size) in titles.iter().zip(expected) {
            let title = title.as_str().unwrap();
            assert!(title.starts_with("c0ffee000: ") && title.contains(size), "{title}");
        }
        // Higher is heavier; nothing leaves its picture, and no two texts lie on each other.
        let heights = browser.evaluate(
            "[...document.querySelectorAll('.charts svg')[1].querySelectorAll('circle')]\
             .map((circle) => -circle.getBoundingClientRect().top)",
        );
        let heights: Vec<f64> =
            heights.as_array().unwrap().iter().map(|height| height.as_f64().unwrap()).collect();
        assert!(
            heights[0] < heights[2] && heights[2] < heights[1] && heights[1] < heights[3],
            "{heights:?}"
        );
        let misplaced = browser.evaluate(
            "[...document.querySelectorAll('.charts svg')].flatMap((svg) => {
                const box = (e) => e.getBoundingClientRect();
                const all = box(svg), texts = [...svg.querySelectorAll('text')];
                const out = [...texts, ...svg.querySelectorAll('circle')].filter((e) => {
                    const b = box(e);
                    return b.left < all.left || b.right > all.right || b.top < all.top
                        || b.bottom > all.bottom;
                });
                const over = texts.filter((a) => texts.some((b) => a !== b
                    && box(a).left < box(b).right && box(b).left < box(a).right
                    && box(a).top < box(b).bottom && box(b).top < box(a).bottom));
                return [...out, ...over].map((e) => e.outerHTML);
            })",
        );
        assert_eq!(misplaced, json!([]));
        let line = "getComputedStyle(document.querySelector('.charts polyline')).stroke";
        let ground = "getComputedStyle(document.body).backgroundColor";
        assert_ne!(browser.text(line), browser.text(ground));
    }
    assert_quiet(&mut browser, &page);
}
