//! Round trips, comparison with another codec, and hostile input.
