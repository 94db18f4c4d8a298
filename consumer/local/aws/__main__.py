from consumer.local.aws.server import main

if __name__ == "__main__":
    main()
