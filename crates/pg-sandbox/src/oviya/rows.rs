//! The rows, written as `copy ... from stdin` blocks of a psql script. Everything follows from the row's number.

use sha2::{Digest, Sha256};

use super::corpus::{EMOTIONS, Phrase, Speaker, phrases, text, topics};

const MESSAGES_PER_CONVERSATION: u32 = 10;
const MESSAGES_PER_USER: u32 = 40;
/// 1 September 2025. PostgreSQL reads a date as a Julian day, which saves us a calendar.
const FIRST_DAY: u64 = 2_460_920;
const DAY_US: u64 = 86_400_000_000;
const CONVERSATION_EVERY_US: u64 = 50 * 60 * 1_000_000;

/// Names as people have them: with accents, quotes, apostrophes, other scripts.
const NAMES: [(&str, &str); 12] = [
    ("aarav", "Aarav Sharma"),
    ("zoe", "Zoë Lindqvist"),
    ("oneil", "Maeve O'Neil"),
    ("ana", "Ana \"Nia\" Pérez"),
    ("mei", "美玲 Chen"),
    ("lukasz", "Łukasz Nowak"),
    ("priya", "Priya R."),
    ("sam", "Sam"),
    ("fatima", "فاطمة Haddad"),
    ("jorge", "Jorge Núñez"),
    ("ingrid", "Ingrid Ås"),
    ("tomo", "Tomo \\o/"),
];

/// How many rows each table gets.
pub(super) struct Size {
    pub users: u32,
    pub conversations: u32,
    pub messages: u32,
}

impl Size {
    /// What goes with that many messages.
    pub(super) fn of(messages: u32) -> Self {
        Self {
            users: (messages / MESSAGES_PER_USER).max(1),
            conversations: messages.div_ceil(MESSAGES_PER_CONVERSATION),
            messages,
        }
    }

    fn user_of(&self, conversation: u32) -> u32 {
        conversation % self.users
    }

    fn messages_in(&self, conversation: u32) -> u32 {
        (self.messages - conversation * MESSAGES_PER_CONVERSATION).min(MESSAGES_PER_CONVERSATION)
    }
}

/// Appends every table's block.
pub(super) fn write(script: &mut String, size: &Size) {
    write_auth(script, size);
    copy(
        script,
        "public.profiles (id, handle, display_name, \"timeZone\", plan, preferences, born_on, created_at, updated_at)",
        (0..size.users).map(|n| {
            let (stem, name) = NAMES[n as usize % NAMES.len()];
            let zone = ["Asia/Kolkata", "UTC", "America/Sao_Paulo", "Europe/Warsaw"][n as usize % 4];
            let plan = if n % 20 == 0 {
                "premium"
            } else if n % 7 == 0 {
                "pro"
            } else {
                "free"
            };
            let preferences =
                format!(r#"{{"theme": "{}", "nudges": [8, {}]}}"#, ["dark", "light"][n as usize % 2], n % 24);
            let born = (n % 3 != 0).then(|| format!("J{}", FIRST_DAY - 7_000 - u64::from(n) * 13 % 12_000));
            let when = timestamp(u64::from(n) * 60_000_000);
            [
                vec![
                    some(uuid("user", n)),
                    some(format!("{stem}_{n}")),
                    some(name),
                    some(zone),
                    some(plan),
                    some(preferences),
                    born,
                ],
                vec![some(when.clone()), some(when)],
            ]
            .concat()
        }),
    );
    let corpus = Corpus::new();
    copy(
        script,
        "public.conversations (id, user_id, title, message_count, last_message_id, archived_at, created_at, updated_at)",
        (0..size.conversations).map(|c| {
            let first = corpus.message(c, 0);
            let title: Vec<&str> = first.phrase.text.split(' ').take(4).collect();
            let (count, start) = (size.messages_in(c), u64::from(c) * CONVERSATION_EVERY_US);
            let last = c * MESSAGES_PER_CONVERSATION + count;
            let archived = (c % 7 == 6).then(|| timestamp(start + 30 * DAY_US));
            let user = uuid("user", size.user_of(c));
            vec![
                some(uuid("conversation", c)),
                some(user),
                some(title.join(" ")),
                some(count),
                some(last),
                archived,
                some(timestamp(start)),
                some(sent_at(c, count - 1)),
            ]
        }),
    );
    copy(
        script,
        "public.messages (conversation_id, user_id, role, content, emotion, intensity, metadata, created_at)",
        (0..size.messages).map(|i| {
            let (c, j) = (i / MESSAGES_PER_CONVERSATION, i % MESSAGES_PER_CONVERSATION);
            let message = corpus.message(c, j);
            let role = match message.speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            };
            vec![
                some(uuid("conversation", c)),
                some(uuid("user", size.user_of(c))),
                some(role),
                some(message.text()),
                some(message.phrase.emotion),
                some(1 + (message.place + message.variant) % 5),
                some(metadata(i, message.phrase.topic)),
                some(sent_at(c, j)),
            ]
        }),
    );
    copy(
        script,
        "public.mood_entries (user_id, message_id, emotion, score, tags, span, note, recorded_on)",
        (0..size.conversations).map(|c| {
            let phrase = corpus.message(c, 0).phrase;
            let said = (c % 4 != 3).then(|| (c * MESSAGES_PER_CONVERSATION + 1).to_string());
            let feeling = EMOTIONS.iter().take_while(|emotion| **emotion != phrase.emotion).count();
            let start = u64::from(c) * CONVERSATION_EVERY_US;
            let span =
                (c % 5 != 0).then(|| format!("[\"{}\",\"{}\")", timestamp(start), timestamp(start + DAY_US / 24)));
            let note = (c % 3 == 0).then(|| format!("felt {} about {}", phrase.emotion, phrase.topic));
            let tags = if c % 6 == 0 { "{}".to_owned() } else { format!("{{{},\"day, {}\"}}", phrase.topic, c % 31) };
            let score = format!("{}.{:02}", (feeling * 3 + c as usize) % 10, c % 100);
            vec![
                some(uuid("user", size.user_of(c))),
                said,
                some(phrase.emotion),
                some(score),
                some(tags),
                span,
                note,
                some(format!("J{}", FIRST_DAY + u64::from(c / size.users))),
            ]
        }),
    );
}

/// Everybody has a login; every third person is signed in.
fn write_auth(script: &mut String, size: &Size) {
    copy(
        script,
        "auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, \
         raw_user_meta_data, created_at, updated_at, phone)",
        (0..size.users).map(|n| {
            let (stem, name) = NAMES[n as usize % NAMES.len()];
            let when = timestamp(u64::from(n) * 60_000_000);
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            let phone = (n % 11 == 0).then(|| format!("+91{:010}", 7_000_000_000_u64 + u64::from(n)));
            vec![
                some("00000000-0000-0000-0000-000000000000"),
                some(uuid("user", n)),
                some("authenticated"),
                some("authenticated"),
                some(format!("{stem}{n}@example.com")),
                some(format!("$2a$10${}", hex("password", n))),
                (n % 9 != 8).then(|| when.clone()),
                some(r#"{"provider": "email", "providers": ["email"]}"#),
                some(format!(r#"{{"name": "{name}"}}"#)),
                some(when.clone()),
                some(when),
                phone,
            ]
        }),
    );
    copy(
        script,
        "auth.identities (id, provider_id, user_id, identity_data, provider, created_at, updated_at)",
        (0..size.users).map(|n| {
            let (user, stem) = (uuid("user", n), NAMES[n as usize % NAMES.len()].0);
            let data = format!(r#"{{"sub": "{user}", "email": "{stem}{n}@Example.com"}}"#);
            let when = timestamp(u64::from(n) * 60_000_000);
            vec![
                some(uuid("identity", n)),
                some(user.clone()),
                some(user),
                some(data),
                some("email"),
                some(when.clone()),
                some(when),
            ]
        }),
    );
    let signed_in = || (0..size.users).step_by(3);
    copy(
        script,
        "auth.sessions (id, user_id, created_at, aal, user_agent, ip)",
        signed_in().map(|n| {
            vec![
                some(uuid("session", n)),
                some(uuid("user", n)),
                some(timestamp(u64::from(n) * 61_000_000)),
                some("aal1"),
                some("Oviya/1.4 (React Native)"),
                some(format!("203.0.113.{}", n % 256)),
            ]
        }),
    );
    copy(
        script,
        "auth.refresh_tokens (token, user_id, revoked, created_at, session_id)",
        signed_in().map(|n| {
            vec![
                some(hex("token", n)),
                some(uuid("user", n)),
                some("f"),
                some(timestamp(u64::from(n) * 61_000_000)),
                some(uuid("session", n)),
            ]
        }),
    );
}

/// The phrases and how they are dealt out: a conversation has one topic, and its messages walk through that topic's
/// phrases, a new wording each time round.
struct Corpus {
    phrases: Vec<Phrase>,
    topics: usize,
    per_topic: usize,
}

struct Message<'a> {
    phrase: &'a Phrase,
    place: usize,
    variant: usize,
    speaker: Speaker,
}

impl Corpus {
    fn new() -> Self {
        let (phrases, topics) = (phrases(), topics().len());
        Self { per_topic: phrases.len() / topics, phrases, topics }
    }

    fn message(&self, conversation: u32, place_in_it: u32) -> Message<'_> {
        let (c, j) = (conversation as usize, place_in_it as usize);
        let round = c / self.topics;
        let nth_of_topic = round * MESSAGES_PER_CONVERSATION as usize + j;
        // 5 has no divisor in common with 36: every phrase is visited, and neighbours differ in emotion.
        let place = c % self.topics * self.per_topic + nth_of_topic * 5 % self.per_topic;
        let speaker = if (round + j).is_multiple_of(2) { Speaker::User } else { Speaker::Assistant };
        Message { phrase: &self.phrases[place], place, variant: nth_of_topic / self.per_topic, speaker }
    }
}

impl Message<'_> {
    fn text(&self) -> String {
        text(self.phrase, self.place, self.variant, self.speaker)
    }
}

fn metadata(i: u32, topic: &str) -> String {
    let client = ["ios", "android", "web"][i as usize % 3];
    let locale = ["en-IN", "en-GB", "en-US", "en-AU"][i as usize / 7 % 4];
    let edited = if i.is_multiple_of(97) { r#", "edited": true, "reply_to": null"# } else { "" };
    format!(r#"{{"topic": "{topic}", "client": "{client}", "locale": "{locale}"{edited}}}"#)
}

/// A message a minute and a half, at odd microseconds, so that no two are at the same moment.
fn sent_at(conversation: u32, place: u32) -> String {
    let odd = u64::from(conversation * MESSAGES_PER_CONVERSATION + place) * 7_919 % 1_000_000;
    timestamp(u64::from(conversation) * CONVERSATION_EVERY_US + u64::from(place) * 97_000_000 + odd)
}

fn timestamp(us: u64) -> String {
    let (day, us) = (FIRST_DAY + us / DAY_US, us % DAY_US);
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    format!("J{day} {:02}:{:02}:{:02}.{us:06}+00", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A random-looking (version 4) UUID that is the same in every load.
fn uuid(kind: &str, n: u32) -> String {
    let h = hex(kind, n);
    format!("{}-{}-4{}-a{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32])
}

fn hex(kind: &str, n: u32) -> String {
    let digest = Sha256::digest(format!("oviya {kind} {n}"));
    digest[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// Appends one block in COPY's text format.
fn copy(script: &mut String, into: &str, rows: impl Iterator<Item = Vec<Option<String>>>) {
    script.push_str(&format!("copy {into} from stdin;\n"));
    for row in rows {
        for (i, field) in row.iter().enumerate() {
            if i > 0 {
                script.push('\t');
            }
            match field {
                None => script.push_str("\\N"),
                Some(text) => escape(script, text),
            }
        }
        script.push('\n');
    }
    script.push_str("\\.\n");
}

fn escape(script: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => script.push_str("\\\\"),
            '\t' => script.push_str("\\t"),
            '\n' => script.push_str("\\n"),
            '\r' => script.push_str("\\r"),
            c => script.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_message_is_different_and_on_its_topic() {
        let (corpus, size) = (Corpus::new(), Size::of(100_000));
        let mut texts = HashSet::new();
        let mut topics = [0; 12];
        for i in 0..size.messages {
            let (c, j) = (i / MESSAGES_PER_CONVERSATION, i % MESSAGES_PER_CONVERSATION);
            let message = corpus.message(c, j);
            assert_eq!(message.phrase.topic, corpus.message(c, 0).phrase.topic);
            topics[c as usize % 12] += 1;
            let text = message.text();
            assert!(texts.insert(text.clone()), "{i}: {text}");
        }
        assert!(topics.iter().all(|n| (8_330..=8_340).contains(n)), "{topics:?}");
    }

    #[test]
    fn escapes_for_copy() {
        let mut script = String::new();
        copy(&mut script, "t", [vec![some("a\tb\nc\\d"), None, some("")]].into_iter());
        assert_eq!(script, "copy t from stdin;\na\\tb\\nc\\\\d\t\\N\t\n\\.\n");
    }

    #[test]
    fn sizes_follow_the_messages() {
        for (messages, users, conversations) in [(0, 1, 0), (1, 1, 1), (95, 2, 10), (50_000, 1_250, 5_000)] {
            let size = Size::of(messages);
            assert_eq!((size.users, size.conversations), (users, conversations), "{messages}");
        }
        assert_eq!(Size::of(95).messages_in(9), 5);
    }
}
