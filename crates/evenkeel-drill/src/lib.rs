//! Drills on real sockets: load, faults and the story of a cascade.
