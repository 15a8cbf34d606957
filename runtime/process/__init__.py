"""What every process does first. No torch: some of it must be settled before torch is imported."""
