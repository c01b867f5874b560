"""`python -m mailtls.ctl`: the same as `mailtlsctl`."""

from mailtls.ctl import main

if __name__ == "__main__":
    main()
