"""`python -m aitrading.client`."""

from aitrading.client.cli import main

if __name__ == "__main__":
    main(prog_name="aitrading-client")
