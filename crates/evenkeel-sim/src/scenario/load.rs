//! From a file to the cells that are run.

use evenkeel_core::backoff;
use evenkeel_policy::document::{Document, Fault, Section};
use evenkeel_policy::{LoadError, suggestion};

use super::expect::{self, Expectation};
use super::parts;
use super::resolve::{self, Wrongs, nanos};
use super::spec;
use crate::fleet::Fleet;
use crate::model::{contention, tail, usl};

/// A scenario, read; nothing of it has been run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The story in one line.
    pub title: String,
    /// What it shows.
    pub about: Option<String>,
    /// A run for each.
    pub seeds: Vec<u64>,
    /// The file without what varies.
    document: Document,
    /// The file as it was, for errors.
    whole: Document,
    expect: Option<Section>,
    variants: Vec<Change>,
    points: Vec<Change>,
    layers: Vec<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    name: String,
    set: Option<Section>,
    expect: Option<Section>,
}

/// What of a scenario is run, and how it is changed first.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only these variants.
    pub compare: Vec<String>,
    /// Only these points of the sweep.
    pub points: Vec<String>,
    /// Without these layers.
    pub without: Vec<String>,
    /// Values put at paths.
    pub set: Vec<(String, String)>,
    /// Other seeds.
    pub seeds: Vec<u64>,
}

/// One story with everything decided: a variant at a point of the sweep.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The variant; empty if there are none.
    pub variant: String,
    /// The point of the sweep; empty if there are none.
    pub point: String,
    /// What happens.
    pub story: Story,
    /// What is expected of it.
    pub expect: Vec<Expectation>,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Story {
    /// A fleet at work.
    Fleet(Box<Fleet>),
    /// Writers that contend for a row.
    Contention {
        /// How many.
        clients: u32,
        /// How often for each seed.
        repetitions: u32,
        /// What they do.
        strategy: contention::Strategy,
    },
    /// A capacity predicted.
    Usl {
        /// The system.
        law: usl::Law,
        /// What is measured.
        points: Vec<u32>,
        /// How inexactly.
        noise: f64,
        /// How often for each seed.
        repetitions: u32,
    },
    /// A tail cut by hedges, exactly.
    Tail(tail::Hedged),
}

/// The JSON schema of the scenario file, as text with a line break at its end.
#[must_use]
pub fn schema() -> String {
    evenkeel_policy::schema::of::<spec::Scenario>()
}

impl Scenario {
    /// Reads a scenario from its text; `name` stands for it in messages.
    ///
    /// # Errors
    /// The text says something that cannot hold, in itself or with any of its variants and points.
    pub fn parse(name: &str, text: &str) -> Result<Self, LoadError> {
        let whole = Document::parse(name, text)?;
        let mut document = whole.clone();
        let named = |section: Option<Section>| -> Vec<Change> {
            section
                .iter()
                .flat_map(Section::entries)
                .map(|(name, part)| change(name, &part))
                .collect()
        };
        let variants = named(document.take("variants"));
        let layers = named(document.take("layers"));
        let points = document.take("sweep");
        let points = points.iter().flat_map(Section::items).map(|point| {
            let name = point
                .get("name")
                .and_then(|name| name.text())
                .unwrap_or_default();
            change(&name, &point)
        });
        let points = points.collect();
        let expect = document.take("expect");
        let written: spec::Scenario = document.decode()?;
        let seeds = written.seeds.unwrap_or_default();
        let seeds: Vec<u64> = seeds.iter().map(|seed| u64::from(seed.0)).collect();
        let scenario = Self {
            title: written.title.unwrap_or_default(),
            about: written.about,
            seeds: if seeds.is_empty() { vec![1] } else { seeds },
            document,
            whole,
            expect,
            variants,
            points,
            layers,
        };
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), LoadError> {
        let mut wrong = Vec::new();
        let mut refuse = |path: &str, what: &str, help: &str| {
            wrong.push(Fault {
                path: path.to_owned(),
                what: what.to_owned(),
                why: "a scenario says what it is".to_owned(),
                help: help.to_owned(),
            });
        };
        let written: spec::Scenario = self.document.decode()?;
        if written.version.is_none_or(|version| version.0 != 1) {
            refuse(
                "version",
                "this evenkeel reads version 1 of the format",
                "write `version: 1`",
            );
        }
        if self.title.is_empty() {
            refuse("title", "`title` is missing", "write the story in one line");
        }
        if !wrong.is_empty() {
            return Err(self.whole.refuse(wrong));
        }
        // Every variant and point, so that a sweep does not fail half an hour in.
        self.cells(&Choice::default()).map(drop)
    }

    /// The names of the variants.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().map(|change| change.name.as_str())
    }

    /// The names of the layers that can be taken away.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|change| change.name.as_str())
    }

    /// What is run, by this choice: each chosen variant at each chosen point.
    ///
    /// # Errors
    /// A name is not known, a path leads nowhere, or what comes of the changes cannot hold.
    pub fn cells(&self, choice: &Choice) -> Result<Vec<Cell>, LoadError> {
        let mut document = self.document.clone();
        for name in &choice.without {
            let layer = self.find("layers", "layer", name, &self.layers)?;
            self.make(&mut document, "layers", &layer.name, layer.set.as_ref())?;
        }
        let none = Change {
            name: String::new(),
            set: None,
            expect: None,
        };
        let variants = self.chosen("variants", "variant", &choice.compare, &self.variants)?;
        let points = self.chosen("sweep", "point", &choice.points, &self.points)?;
        let variants = if variants.is_empty() {
            vec![&none]
        } else {
            variants
        };
        let points = if points.is_empty() {
            vec![&none]
        } else {
            points
        };
        let mut cells = Vec::new();
        for variant in &variants {
            let mut changed = document.clone();
            self.make(
                &mut changed,
                "variants",
                &variant.name,
                variant.set.as_ref(),
            )?;
            for point in &points {
                let mut document = changed.clone();
                self.make(&mut document, "sweep", &point.name, point.set.as_ref())?;
                for (path, value) in &choice.set {
                    document
                        .set(path, value)
                        .map_err(|why| self.wrong("", "--set", why))?;
                }
                let place = self
                    .points
                    .iter()
                    .position(|known| known.name == point.name);
                let changed_by_hand = !choice.set.is_empty() || !choice.without.is_empty();
                let expect = if changed_by_hand {
                    Vec::new()
                } else {
                    self.expectations(variant, point, place)?
                };
                cells.push(Cell {
                    variant: variant.name.clone(),
                    point: point.name.clone(),
                    story: self.story(&document)?,
                    expect,
                });
            }
        }
        Ok(cells)
    }

    fn chosen<'s>(
        &self,
        path: &str,
        what: &str,
        names: &[String],
        all: &'s [Change],
    ) -> Result<Vec<&'s Change>, LoadError> {
        if names.is_empty() {
            return Ok(all.iter().collect());
        }
        names
            .iter()
            .map(|name| self.find(path, what, name, all))
            .collect()
    }

    fn find<'s>(
        &self,
        path: &str,
        what: &str,
        name: &str,
        all: &'s [Change],
    ) -> Result<&'s Change, LoadError> {
        all.iter()
            .find(|change| change.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|change| change.name.as_str()).collect();
                let help = suggestion(name, &names, &format!("this scenario has no {what}s"));
                self.whole.refuse(vec![Fault {
                    path: path.to_owned(),
                    what: format!("no {what} is called `{name}`"),
                    why: "it was asked for".to_owned(),
                    help,
                }])
            })
    }

    fn make(
        &self,
        document: &mut Document,
        path: &str,
        name: &str,
        set: Option<&Section>,
    ) -> Result<(), LoadError> {
        match set {
            Some(set) => document
                .apply(set)
                .map_err(|why| self.wrong(path, name, why)),
            None => Ok(()),
        }
    }

    fn wrong(&self, path: &str, name: &str, why: String) -> LoadError {
        self.whole.refuse(vec![Fault {
            path: path.to_owned(),
            what: format!("a change of `{name}` cannot be made"),
            why,
            help: "write paths like `clients.web.count`, with a value or `~`".to_owned(),
        }])
    }

    fn expectations(
        &self,
        variant: &Change,
        point: &Change,
        place: Option<usize>,
    ) -> Result<Vec<Expectation>, LoadError> {
        let sections = [&self.expect, &variant.expect, &point.expect];
        let mut all = Vec::new();
        for section in sections.into_iter().flatten() {
            let read = expect::read(section, place);
            all.extend(read.map_err(|why| {
                self.whole.refuse(vec![Fault {
                    path: "expect".to_owned(),
                    what: format!("an expectation of `{}` cannot be read", variant.name),
                    why,
                    help: "write it like `{ about: 97.5, within: 2 }`".to_owned(),
                }])
            })?);
        }
        Ok(all)
    }

    fn story(&self, document: &Document) -> Result<Story, LoadError> {
        let written: spec::Scenario = document.decode()?;
        let policy = match &written.policy {
            Some(policy) => Some(document.policy("policy", policy)?),
            None => None,
        };
        let mut wrong = Wrongs::default();
        let story = if let Some(contended) = &written.contention {
            contention_of(contended)
        } else if let Some(usl) = &written.usl {
            usl_of(usl)
        } else if let Some(tail) = &written.tail {
            tail_of(tail, &mut wrong)
        } else {
            Story::Fleet(Box::new(resolve::fleet(
                &written,
                policy.as_ref(),
                &mut wrong,
            )))
        };
        if wrong.0.is_empty() {
            Ok(story)
        } else {
            Err(document.refuse(wrong.0))
        }
    }
}

fn change(name: &str, part: &Section) -> Change {
    Change {
        name: name.to_owned(),
        set: part.get("set"),
        expect: part.get("expect"),
    }
}

fn contention_of(written: &spec::Contention) -> Story {
    let strategy = match written.strategy.unwrap_or(spec::Strategy::Evenkeel) {
        spec::Strategy::None => contention::Strategy::None,
        spec::Strategy::Exponential => contention::Strategy::Exponential,
        spec::Strategy::EqualJitter => contention::Strategy::EqualJitter,
        spec::Strategy::FullJitter => contention::Strategy::FullJitter,
        spec::Strategy::Decorrelated => contention::Strategy::Decorrelated,
        spec::Strategy::ConstantJitter => contention::Strategy::ConstantJitter,
        spec::Strategy::SlowFullJitter => contention::Strategy::SlowFullJitter,
        spec::Strategy::ServerHint(share) => contention::Strategy::ServerHint(share),
        spec::Strategy::ServerTicket => contention::Strategy::ServerTicket,
        spec::Strategy::Evenkeel => contention::Strategy::Evenkeel(backoff::Config::default()),
    };
    Story::Contention {
        clients: written.clients.map_or(100, |clients| clients.0),
        repetitions: written
            .repetitions
            .map_or(1, |repetitions| repetitions.0.max(1)),
        strategy,
    }
}

fn usl_of(written: &spec::Usl) -> Story {
    let points = written.points.as_deref().unwrap_or_default();
    Story::Usl {
        law: usl::Law {
            lambda: 1.0,
            sigma: written.sigma.unwrap_or(0.0),
            kappa: written.kappa.unwrap_or(0.001),
        },
        points: points.iter().map(|point| point.0).collect(),
        noise: written.noise.unwrap_or(0.0),
        repetitions: written
            .repetitions
            .map_or(400, |repetitions| repetitions.0.max(1)),
    }
}

fn tail_of(written: &spec::Tail, wrong: &mut Wrongs) -> Story {
    let none = spec::Law::default();
    let law = parts::law(written.law.as_ref().unwrap_or(&none), "tail.law", wrong);
    let after = match (written.after, written.after_quantile) {
        (Some(after), _) => nanos(after) as f64,
        (None, Some(quantile)) => tail::quantile(|nanos| law.longer_than(nanos), quantile),
        (None, None) => f64::INFINITY,
    };
    Story::Tail(tail::Hedged {
        law,
        after,
        share: written.share.unwrap_or(1.0),
    })
}
