//! A shop, and what is done to it.
//!
//! The shop takes orders over HTTP and has them shipped by a worker. Its clients' connections are cut at
//! the three moments that matter: before the order is sent, after it is sent, and after it was taken but
//! before the answer arrives. Besides, the shop is killed where it stands. Clients try again with the
//! same key; at the end every order has been taken once and shipped once.

pub mod cutting;
pub mod drive;
pub mod shop;
