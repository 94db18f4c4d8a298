from consumer.local.bigquery.server import main

if __name__ == "__main__":
    main()
