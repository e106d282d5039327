"""What each way of training would cost a fleet, up to a target accuracy."""
