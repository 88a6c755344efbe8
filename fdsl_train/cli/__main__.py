from fdsl_train.cli.main import main

main()
