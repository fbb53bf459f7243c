"""The benches of the mailer: a sink that is fast, the processes as they are deployed, and what people use instead."""
