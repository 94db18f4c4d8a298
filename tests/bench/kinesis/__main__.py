from tests.bench.kinesis.server import main

if __name__ == "__main__":
    main()
