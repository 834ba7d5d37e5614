"""Reading what was trained: experiments, archives, hub repositories, the authors' releases."""
