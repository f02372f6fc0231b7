//! The phrases messages are made of, and how one phrase becomes many different texts that keep their subject.

use std::fmt::Write;

/// The emotions, in the order of the database's enum.
pub const EMOTIONS: [&str; 6] = ["joy", "sadness", "anger", "anxiety", "calm", "hope"];

/// Queries that are not in the corpus, each with the topic its answers should have.
pub const EXAMPLE_SEARCHES: &[(&str, &str)] = &[
    ("I can't fall asleep at night", "sleep"),
    ("preparing for university exams", "studies"),
    ("my puppy and my kitten at the vet", "pets"),
    ("my boss and the office deadline", "work"),
    ("arguing with my mother and my brother", "family"),
    ("falling in love with my girlfriend", "romance"),
    ("mourning at a funeral after someone died", "grief"),
    ("going running and lifting weights at the gym", "fitness"),
    ("baking bread and cooking dinner in the kitchen", "cooking"),
    ("paying back a bank loan and the rent", "money"),
    ("catching a flight abroad with my suitcase", "travel"),
    ("playing the guitar and singing songs with the band", "music"),
    ("nightmares keep me awake in bed", "sleep"),
    ("a job interview with a new manager", "work"),
    ("credit card debt and an empty savings account", "money"),
    ("the cat purrs and the dog barks", "pets"),
];

const USER_OPENERS: [&str; 16] = [
    "",
    "Hey Oviya.",
    "Quick update:",
    "So this happened:",
    "I need to say this out loud.",
    "Just between us:",
    "Small thing, big feeling:",
    "You asked how I am.",
    "Not sure how to put it.",
    "Same story as before:",
    "Okay, honest answer:",
    "Can I tell you something?",
    "Here it goes.",
    "I've been thinking.",
    "This is on my mind:",
    "No filter this time:",
];

const USER_CLOSERS: [&str; 12] = [
    "",
    "Thanks for listening.",
    "What do you make of it?",
    "I wanted you to know.",
    "That's all for now.",
    "Does that make sense?",
    "Tell me what you think.",
    "It keeps coming back to me…",
    "Anyway.",
    "💙",
    "\nSorry for going on about it.",
    "I had to share it with \"someone\".",
];

const ASSISTANT_OPENERS: [&str; 16] = [
    "You told me:",
    "I remember you saying:",
    "Earlier you wrote:",
    "Let me say it back to you:",
    "I'd like to stay with this for a moment:",
    "This stood out to me:",
    "In your words:",
    "I heard this:",
    "May I come back to something?",
    "If I understand you:",
    "I noticed what you said:",
    "Thank you for telling me this:",
    "One thing before we go on:",
    "You mentioned:",
    "I kept thinking of your words:",
    "Let's look at it together:",
];

const ASSISTANT_CLOSERS: [&str; 12] = [
    "How does it feel now?",
    "Shall we talk about it?",
    "I'm listening.",
    "What would help today?",
    "Thank you for trusting me with that.",
    "Is there more behind it?",
    "That matters.",
    "Take your time.",
    "What do you need right now?",
    "I'm here for you. 💙",
    "Would you like to go on?",
    "Where do you notice it in yourself?",
];

/// One line of the corpus: something a person might write, its subject, and how it feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phrase {
    /// One of [`topics`].
    pub topic: &'static str,
    /// One of [`EMOTIONS`].
    pub emotion: &'static str,
    /// The sentence, without its full stop.
    pub text: &'static str,
}

/// Every phrase, by topic, then by emotion.
pub fn phrases() -> Vec<Phrase> {
    include_str!("../../fixtures/oviya/corpus.tsv")
        .lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().expect("corpus.tsv has three fields a line, which a test checks");
            Phrase { topic: next(), emotion: next(), text: next() }
        })
        .collect()
}

/// The topics, in the corpus's order.
pub fn topics() -> Vec<&'static str> {
    let mut topics: Vec<_> = phrases().iter().map(|phrase| phrase.topic).collect();
    topics.dedup();
    topics
}

/// Who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    User,
    Assistant,
}

/// The `variant`th text of a phrase; no two are equal. `place` (the phrase's number) makes neighbours begin differently.
pub(super) fn text(phrase: &Phrase, place: usize, variant: usize, speaker: Speaker) -> String {
    let (openers, closers) = match speaker {
        Speaker::User => (&USER_OPENERS, &USER_CLOSERS),
        Speaker::Assistant => (&ASSISTANT_OPENERS, &ASSISTANT_CLOSERS),
    };
    let opener = openers[(variant + place) % openers.len()];
    let closer = closers[(variant / openers.len() + place) % closers.len()];
    let sentence = match speaker {
        Speaker::User => format!("{}.", phrase.text),
        Speaker::Assistant => format!("“{}.”", phrase.text),
    };
    let mut text = sentence;
    if !opener.is_empty() {
        text = format!("{opener} {text}");
    }
    if !closer.is_empty() {
        let space = if closer.starts_with('\n') { "" } else { " " };
        write!(text, "{space}{closer}").expect("writing to a string cannot fail");
    }
    let round = variant / (openers.len() * closers.len());
    if round > 0 {
        write!(text, " (day {})", round + 1).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    #[test]
    fn corpus_is_complete() {
        let mut count: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for phrase in phrases() {
            *count.entry((phrase.topic, phrase.emotion)).or_default() += 1;
            assert!(EMOTIONS.contains(&phrase.emotion), "{phrase:?}");
            assert!(phrase.text.split(' ').count() >= 6 && !phrase.text.ends_with(['.', '?', ' ']), "{phrase:?}");
            assert!(!phrase.text.contains(['\\', '\t']), "{phrase:?}");
        }
        assert_eq!(count.len(), 12 * 6);
        assert!(count.values().all(|n| *n == 6), "{count:?}");
        for line in include_str!("../../fixtures/oviya/corpus.tsv").lines() {
            assert_eq!(line.split('\t').count(), 3, "{line}");
        }
    }

    /// Word sets, so that a phrase that only swaps a name or an article counts as the same.
    #[test]
    fn no_phrase_is_nearly_another() {
        let all = phrases();
        let words = |text: &str| -> HashSet<String> {
            let lower = text.to_lowercase();
            lower.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).map(str::to_owned).collect()
        };
        let sets: Vec<_> = all.iter().map(|phrase| words(phrase.text)).collect();
        for (i, a) in sets.iter().enumerate() {
            for (j, b) in sets.iter().enumerate().take(i) {
                let (common, all_words) = (a.intersection(b).count(), a.union(b).count());
                assert!(common * 2 < all_words, "{:?} is like {:?}", all[i].text, all[j].text);
            }
        }
    }

    #[test]
    fn searches_cover_every_topic_and_are_held_out() {
        let (topics, phrases) = (topics(), phrases());
        assert_eq!(topics.len(), 12);
        for (query, topic) in EXAMPLE_SEARCHES {
            assert!(topics.contains(topic), "{query}");
            assert!(!phrases.iter().any(|phrase| phrase.text.contains(query)), "{query}");
        }
        for topic in topics {
            assert!(EXAMPLE_SEARCHES.iter().any(|(_, expected)| *expected == topic), "no search for {topic}");
        }
    }

    #[test]
    fn texts_differ() {
        let all = phrases();
        for speaker in [Speaker::User, Speaker::Assistant] {
            let mut seen = HashSet::new();
            for variant in 0..1000 {
                let text = text(&all[7], 7, variant, speaker);
                assert!(text.contains(all[7].text));
                assert!(seen.insert(text.clone()), "{text}");
            }
        }
    }
}
