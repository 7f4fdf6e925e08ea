//! NUTS and HMC on any [`crate::density::Density`].
