//! What breaks, and is mended.

use super::World;
use crate::fleet::FaultKind;

impl World<'_> {
    /// A fault begins.
    pub(super) fn fault_begins(&mut self, number: u32) {
        let fleet = self.fleet;
        let fault = &fleet.faults[number as usize];
        if let FaultKind::Law(law) = &fault.kind {
            self.fault_laws[number as usize] = Some(law.clone());
        }
        if let FaultKind::Clock(by) = fault.kind {
            self.clock_error[fault.service] = by;
        }
        for place in self.struck_by(number) {
            let replica = &mut self.replicas[place as usize];
            match &fault.kind {
                FaultKind::Slow(factor) => replica.slow = Some(*factor),
                FaultKind::Law(_) => replica.law = Some(number),
                FaultKind::Stall => replica.stalled_until = fault.to,
                FaultKind::Error(after) => replica.error = Some(*after),
                FaultKind::Workers(left) => replica.set_workers(Some(*left)),
                FaultKind::Crash => self.crash(place),
                FaultKind::Partition => replica.cut_off = true,
                FaultKind::Clock(_) => {}
            }
        }
    }

    /// A fault ends.
    pub(super) fn fault_ends(&mut self, number: u32) {
        let fault = &self.fleet.faults[number as usize];
        if matches!(fault.kind, FaultKind::Clock(_)) {
            self.clock_error[fault.service] = 0;
        }
        for place in self.struck_by(number) {
            let replica = &mut self.replicas[place as usize];
            match &fault.kind {
                FaultKind::Slow(_) => replica.slow = None,
                FaultKind::Law(_) => replica.law = None,
                FaultKind::Stall => replica.stalled_until = 0,
                FaultKind::Error(_) => replica.error = None,
                FaultKind::Workers(_) => replica.set_workers(None),
                FaultKind::Crash => replica.down = false,
                FaultKind::Partition => replica.cut_off = false,
                FaultKind::Clock(_) => {}
            }
            self.dispatch(place);
        }
    }

    fn struck_by(&self, number: u32) -> core::ops::Range<u32> {
        let fault = &self.fleet.faults[number as usize];
        let first = self.first_replica[fault.service];
        first
            ..first
                + fault
                    .replicas
                    .min(self.fleet.services[fault.service].replicas)
    }
}
