from fdsl_gen.cli.main import main

main()
