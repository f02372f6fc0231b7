//! pgmigrate
