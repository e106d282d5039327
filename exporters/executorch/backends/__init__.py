"""The processors that programs are compiled for, one file each."""
