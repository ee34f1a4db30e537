//! The component imports exactly what it should.
