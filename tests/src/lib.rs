//! Nothing here; the tests are beside this file.
