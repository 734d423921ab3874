//! The frame that carries one batch in a log, whatever codec wrote its payload.
