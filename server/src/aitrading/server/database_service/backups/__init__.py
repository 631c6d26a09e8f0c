"""The books about backups, and the moment at which ClickHouse stands still for one."""
