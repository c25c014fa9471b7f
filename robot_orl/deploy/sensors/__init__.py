"""What a robot senses beside its joints: cameras in processes of their own, and where objects are."""
