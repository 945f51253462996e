"""What training and evaluation are fed: samples cut from episodes, mixed, mirrored and loaded ahead."""
