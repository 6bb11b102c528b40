"""Speed, each beside what the machine can do: floor / measured."""
