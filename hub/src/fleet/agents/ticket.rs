//! Tickets: numbered by the hub and signed by it, so that an old one is told
//! from a forged one, and both from one that a restored database has forgotten.

use ring::hmac;
use windflow_protocol::ids::AgentId;
use windflow_protocol::message::hello::Ticket;

/// The number of the ticket that comes with an enrollment.
pub const FIRST_TICKET: i64 = 1;

/// Bytes of a ticket that are its number.
const NUMBER_LEN: usize = 8;

/// Signs and reads tickets.
#[derive(Clone, Debug)]
pub struct TicketKey(hmac::Key);

impl TicketKey {
    /// The key from 32 secret bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The ticket of `agent` with `number`.
    pub fn mint(&self, agent: AgentId, generation: i64, number: i64) -> Ticket {
        let mut ticket = [0; 32];
        let (head, tail) = ticket.split_at_mut(NUMBER_LEN);
        head.copy_from_slice(&number.to_le_bytes());
        let tag = hmac::sign(&self.0, &signed(agent, generation, head));
        tail.copy_from_slice(&tag.as_ref()[..32 - NUMBER_LEN]);
        Ticket(ticket)
    }

    /// The number of a ticket that this hub made for this identity.
    pub fn read(&self, agent: AgentId, generation: i64, ticket: &Ticket) -> Option<i64> {
        let number = i64::from_le_bytes(ticket.0[..NUMBER_LEN].try_into().ok()?);
        let expected = self.mint(agent, generation, number);
        let genuine: bool = subtle::ConstantTimeEq::ct_eq(&expected.0[..], &ticket.0[..]).into();
        genuine.then_some(number)
    }
}

fn signed(agent: AgentId, generation: i64, number: &[u8]) -> Vec<u8> {
    [b"ticket.v1".as_slice(), agent.0.as_bytes(), &generation.to_le_bytes(), number].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_counts_for_its_own_identity_only() {
        let key = TicketKey::new(&[1; 32]);
        let (agent, other) = (AgentId::generate(), AgentId::generate());
        let ticket = key.mint(agent, 1, 42);
        assert_eq!(key.read(agent, 1, &ticket), Some(42));
        assert_eq!(key.read(other, 1, &ticket), None);
        assert_eq!(key.read(agent, 2, &ticket), None);
        assert_eq!(TicketKey::new(&[2; 32]).read(agent, 1, &ticket), None);
    }

    #[test]
    fn a_changed_number_is_no_ticket() {
        let key = TicketKey::new(&[1; 32]);
        let agent = AgentId::generate();
        let mut ticket = key.mint(agent, 1, 42);
        ticket.0[0] += 1;
        assert_eq!(key.read(agent, 1, &ticket), None);
    }
}
