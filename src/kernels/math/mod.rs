//! Elementary and special functions on eight lanes.
