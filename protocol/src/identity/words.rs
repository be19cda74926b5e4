//! Bytes as words, for people who compare two of them by eye or read one out.

/// One word for each byte. The order is part of what people compare: never
/// changed.
#[rustfmt::skip]
const WORDS: [&str; 256] = [
    "acid", "acorn", "actor", "agent", "album", "alpha", "amber", "anchor", "angle", "ankle", "apple", "april",
    "apron", "arch", "arena", "arrow", "atlas", "atom", "autumn", "bacon", "badge", "bagel", "bamboo", "banjo",
    "barn", "basil", "basket", "beach", "bench", "berry", "bicycle", "bishop", "blanket", "blossom", "board",
    "bonus", "border", "bottle", "bowl", "brave", "bread", "bridge", "brush", "bubble", "bucket", "butter", "cabin",
    "cactus", "camel", "candle", "canyon", "carbon", "cargo", "carpet", "castle", "cedar", "cello", "chalk",
    "cherry", "chess", "circle", "citrus", "clay", "cliff", "clock", "cloud", "clover", "coast", "cobra", "coffee",
    "comet", "copper", "coral", "cotton", "cousin", "crater", "cricket", "crystal", "cube", "curtain", "daisy",
    "dancer", "delta", "desert", "diamond", "dinner", "dolphin", "donkey", "dragon", "drum", "eagle", "earth",
    "easel", "echo", "elbow", "eleven", "ember", "engine", "falcon", "family", "feather", "fence", "ferry",
    "fiddle", "finger", "flame", "flute", "forest", "fossil", "fountain", "fox", "galaxy", "garden", "garlic",
    "ghost", "ginger", "giraffe", "glacier", "globe", "goblet", "gold", "gorilla", "granite", "grape", "gravel",
    "guitar", "hammer", "harbor", "harvest", "hazel", "helmet", "hero", "honey", "horizon", "hunter", "igloo",
    "iron", "island", "ivory", "jacket", "jaguar", "jasmine", "jelly", "jigsaw", "jungle", "kayak", "kettle",
    "kitten", "koala", "ladder", "lagoon", "lantern", "lemon", "lily", "lion", "lizard", "lobster", "lotus",
    "lumber", "lunar", "magnet", "mango", "maple", "marble", "meadow", "melon", "mercury", "mirror", "monkey",
    "moss", "muffin", "museum", "napkin", "nectar", "needle", "nickel", "north", "nutmeg", "oasis", "ocean",
    "olive", "onion", "opal", "orbit", "orchid", "otter", "oven", "oyster", "paddle", "panda", "panther", "paper",
    "parrot", "peach", "pebble", "pencil", "pepper", "piano", "pigeon", "pilot", "planet", "plum", "pocket",
    "polar", "prism", "pumpkin", "puzzle", "quartz", "rabbit", "radar", "radio", "rain", "raven", "ribbon", "river",
    "robin", "rocket", "rose", "ruby", "saddle", "salmon", "sandal", "satin", "scarf", "shadow", "silver",
    "sparrow", "spiral", "spoon", "squirrel", "stable", "sugar", "summit", "sunset", "swan", "tango", "temple",
    "thunder", "tiger", "timber", "tomato", "tulip", "tunnel", "turtle", "umbrella", "valley", "velvet", "violin",
    "volcano", "walnut", "willow", "window", "winter", "wizard", "yellow", "zebra",
];

/// These bytes as words.
pub(super) fn words(bytes: &[u8]) -> String {
    let words: Vec<&str> = bytes.iter().map(|byte| WORDS[usize::from(*byte)]).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_bytes_have_the_same_word() {
        assert!(WORDS.is_sorted_by(|one, next| one < next));
        assert_eq!(words(&[0, 1, 255]), "acid acorn zebra");
    }
}
