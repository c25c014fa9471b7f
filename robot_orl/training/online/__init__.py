"""The parts of finetuning: where a stage goes on, who plays what when, its learning curve."""
