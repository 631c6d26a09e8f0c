"""The trading engine: risk, sizing and orders. Until the engine itself exists it is HALTED."""
