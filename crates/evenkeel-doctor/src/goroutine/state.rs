//! What a goroutine waits for.

use crate::stack::Stack;

/// A goroutine's wait, as the runtime prints it, made comparable between Go versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize)]
pub enum WaitState {
    /// On a processor.
    Running,
    /// Wants a processor.
    Runnable,
    /// In a system call.
    Syscall,
    /// In `time.Sleep`.
    Sleep,
    /// In a `select`.
    Select,
    /// In `select {}` or on a nil channel: nothing can ever wake it.
    Forever,
    /// Sending on a channel.
    ChanSend,
    /// Receiving from a channel.
    ChanReceive,
    /// Waiting for a file descriptor.
    IoWait,
    /// Waiting for a `sync.Mutex` or `sync.RWMutex`.
    Lock,
    /// In `sync.Cond.Wait`.
    Cond,
    /// In `sync.WaitGroup.Wait`.
    WaitGroup,
    /// Waiting for the runtime itself: the collector, an allocation, a profile.
    Runtime,
    /// The dump does not say.
    #[default]
    Unknown,
}

impl WaitState {
    /// Reads the words between the brackets of a header, up to the first comma.
    ///
    /// `semacquire` is left to [`WaitState::settle`]: before Go 1.20 it meant any lock, since then
    /// it mostly means the runtime.
    pub fn from_header(words: &str) -> Self {
        let words = words
            .trim()
            .trim_end_matches(" (leaked)")
            .trim_end_matches(" (scan)")
            .trim_end_matches(" (durable)")
            .trim_end_matches(" (leaked)");
        match words {
            "running" => Self::Running,
            "runnable" | "preempted" | "waiting for preemption" | "copystack" => Self::Runnable,
            "syscall" => Self::Syscall,
            "sleep" | "timer goroutine (idle)" => Self::Sleep,
            "select" => Self::Select,
            "select (no cases)" | "chan send (nil chan)" | "chan receive (nil chan)" => {
                Self::Forever
            }
            "chan send" => Self::ChanSend,
            "chan receive" => Self::ChanReceive,
            "IO wait" => Self::IoWait,
            "sync.Mutex.Lock" | "sync.RWMutex.Lock" | "sync.RWMutex.RLock" => Self::Lock,
            "sync.Cond.Wait" => Self::Cond,
            "sync.WaitGroup.Wait" => Self::WaitGroup,
            "" | "waiting" | "semacquire" | "semarelease" => Self::Unknown,
            _ => Self::Runtime,
        }
    }

    /// Decides by the frames what the header left open.
    pub fn settle(self, stack: &Stack) -> Self {
        if self != Self::Unknown {
            return self;
        }
        for frame in &stack.0 {
            let function = frame.function.as_str();
            if let Some(state) = Self::from_blocking_function(function) {
                return state;
            }
            if !is_blocking_plumbing(function) {
                break;
            }
        }
        Self::Unknown
    }

    /// What a call into this function waits for, if it is one that waits.
    fn from_blocking_function(function: &str) -> Option<Self> {
        Some(match function {
            "sync.(*Mutex).Lock"
            | "sync.(*Mutex).lockSlow"
            | "internal/sync.(*Mutex).lockSlow"
            | "internal/sync.(*Mutex).Lock"
            | "sync.(*RWMutex).Lock"
            | "sync.(*RWMutex).RLock" => Self::Lock,
            "sync.(*WaitGroup).Wait" => Self::WaitGroup,
            "sync.(*Cond).Wait" | "sync.runtime_notifyListWait" => Self::Cond,
            "time.Sleep" | "runtime.timeSleep" => Self::Sleep,
            "runtime.chansend" | "runtime.chansend1" => Self::ChanSend,
            "runtime.chanrecv" | "runtime.chanrecv1" | "runtime.chanrecv2" => Self::ChanReceive,
            "runtime.selectgo" => Self::Select,
            "runtime.block" => Self::Forever,
            "internal/poll.runtime_pollWait" | "net.runtime_pollWait" | "runtime.netpollblock" => {
                Self::IoWait
            }
            _ if function.starts_with("syscall.") => Self::Syscall,
            _ => return None,
        })
    }

    /// Words for a person.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Running => "run",
            Self::Runnable => "want a processor",
            Self::Syscall => "are in a system call",
            Self::Sleep => "sleep",
            Self::Select => "wait in a select",
            Self::Forever => "wait for nothing that can come",
            Self::ChanSend => "wait to send on a channel",
            Self::ChanReceive => "wait to receive from a channel",
            Self::IoWait => "wait for the network",
            Self::Lock => "wait for a lock",
            Self::Cond => "wait on a condition",
            Self::WaitGroup => "wait for a wait group",
            Self::Runtime => "wait for the runtime",
            Self::Unknown => "are parked",
        }
    }
}

/// Frames that sit between the goroutine's own code and the function that names the wait.
fn is_blocking_plumbing(function: &str) -> bool {
    function.starts_with("runtime.")
        || function.starts_with("internal/")
        || function.starts_with("sync.runtime_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Frame;

    fn stack(functions: &[&str]) -> Stack {
        Stack(
            functions
                .iter()
                .map(|function| Frame {
                    function: (*function).into(),
                    ..Frame::default()
                })
                .collect(),
        )
    }

    #[test]
    fn old_semacquire_is_a_lock_when_the_frames_say_so() {
        let state = WaitState::from_header("semacquire");
        assert_eq!(
            state.settle(&stack(&[
                "sync.runtime_Semacquire",
                "sync.(*RWMutex).RLock",
                "main.f"
            ])),
            WaitState::Lock
        );
    }

    #[test]
    fn semacquire_on_top_of_an_allocation_is_not_a_lock() {
        let state = WaitState::from_header("semacquire");
        assert_eq!(
            state.settle(&stack(&[
                "encoding/json/v2.makeString",
                "shop/inventory.clone"
            ])),
            WaitState::Unknown
        );
    }

    #[test]
    fn marks_after_the_state_do_not_hide_it() {
        assert_eq!(
            WaitState::from_header("chan send (leaked)"),
            WaitState::ChanSend
        );
        assert_eq!(
            WaitState::from_header("select (no cases)"),
            WaitState::Forever
        );
        assert_eq!(
            WaitState::from_header("GC worker (idle)"),
            WaitState::Runtime
        );
    }
}
