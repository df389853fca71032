//! Who asks, and when.

use evenkeel_core::entropy::Entropy;

use super::{Event, World};
use crate::arrival::Arrivals;
use crate::fleet::Fleet;

/// One client of a group.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) group: u32,
    /// Its number within its group.
    pub(super) place: u32,
    pub(super) tenant: u32,
    dice: Entropy,
    asked: u64,
    nth: u64,
}

/// The clients of all groups, and how many tenants they are.
pub(super) fn all(fleet: &Fleet, root: &Entropy) -> (Vec<Client>, u32) {
    let mut clients = Vec::new();
    let mut tenants = 0;
    for (group, place) in fleet.groups.iter().zip(0..) {
        let dice = root.split("clients").split(&group.name);
        for number in 0..group.clients {
            clients.push(Client {
                group: place,
                place: number,
                tenant: tenants + if group.tenants { number } else { 0 },
                dice: dice.split(&number.to_string()),
                asked: 0,
                nth: 0,
            });
        }
        tenants += if group.tenants { group.clients } else { 1 };
    }
    (clients, tenants.max(1))
}

impl World<'_> {
    /// Plans when a client asks next, if it does so by itself.
    pub(super) fn schedule_ask(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        let group = &self.fleet.groups[client.group as usize];
        let (whom, when) = ((client.place, group.clients), (client.nth, client.asked));
        let next = group
            .arrivals
            .next(&group.load, whom, when, &mut client.dice);
        let Some(at) = next.filter(|at| *at < self.fleet.ends) else {
            return;
        };
        client.asked = at;
        client.nth += 1;
        self.queue.push(at, Event::Ask(number));
    }

    /// A client asks.
    pub(super) fn ask(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        let seed = client.dice.next_u64();
        let (group, place, tenant) = (client.group, client.place, client.tenant);
        self.schedule_ask(number);
        self.begin_request(number, (group, place, tenant), seed);
    }

    /// A client has its answer, or none.
    pub(super) fn client_is_done(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        let group = &self.fleet.groups[client.group as usize];
        if let Arrivals::Closed { think } = &group.arrivals {
            let at = self.now.saturating_add(think.draw(&mut client.dice).max(1));
            client.asked = at;
            self.queue.push(at, Event::Ask(number));
        }
    }
}
