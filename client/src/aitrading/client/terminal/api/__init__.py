"""The interface of the `MetaTrader5` package: its numbers, structs, arrays and errors."""
