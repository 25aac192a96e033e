using System.Globalization;

namespace Hydragen.Kernels;

/// <summary>What the command line asks for.</summary>
internal sealed record Settings
{
    public const string Usage = """
        Usage: Hydragen.Kernels MODE [options]
          ladder   every instruction set of this machine: matrix products and attention over a shared prefix
          prefix   attention of many rows over one shared prefix, one key/value head of 128, BF16: share of the peak of BF16 products
          suffix   attention of 64 sequences over 4224 keys of their own, 2 key/value heads of 128, BF16: share of memory reads
          linear   matrix product with 4096 × 4096 BF16 weights, BF16 in and out: shares of both
          pool     what it costs to share out a job among threads
        Options:
          --threads n,n,..   threads (default: prefix 1; suffix 1,2; pool 1,2,4,.. to all; others all processors)
          --rounds N         rounds; medians count (default 9; pool has its own)
          --rows n,n,..      prefix: query rows, multiples of 4 (default 64,256,1024); linear: input rows (default 1,8,64,256)
          --keys n,n,..      prefix: keys (default 1024,4096,16384)
          --groups n,n,..    suffix: query heads for each key/value head (default 1,4,8)
          --isa NAME         instruction set (default: the best; ladder takes all)
          --warm             linear: the same weights in every call, so that caches may keep them
          --json FILE        also write JSON Lines
        """;

    private static readonly string[] Modes = ["ladder", "prefix", "suffix", "linear", "pool"];

    public required string Mode { get; init; }

    public required string CommandLine { get; init; }

    public IReadOnlyList<int> Threads { get; init; } = [];

    public int Rounds { get; init; } = 9;

    public IReadOnlyList<int>? Rows { get; init; }

    public IReadOnlyList<int> Keys { get; init; } = [1024, 4096, 16384];

    public IReadOnlyList<int> Groups { get; init; } = [1, 4, 8];

    public string? InstructionSet { get; init; }

    public bool IsWarm { get; init; }

    public string? JsonPath { get; init; }

    /// <summary>Reads the command line.</summary>
    /// <exception cref="FormatException">It makes no sense; the message says what.</exception>
    public static Settings Parse(string[] args)
    {
        if (args.Length == 0 || !Modes.Contains(args[0])) throw new FormatException($"The mode must be {string.Join(", ", Modes)}, not '{args.FirstOrDefault()}'.");
        var settings = new Settings
        {
            Mode = args[0],
            CommandLine = string.Join(' ', ["Hydragen.Kernels", .. args]),
            Threads = args[0] switch { "prefix" => [1], "suffix" => [1, 2], "pool" => PowersOfTwo(), _ => [Environment.ProcessorCount] },
        };
        for (int i = 1; i < args.Length; i++)
        {
            string option = args[i];
            if (option == "--warm")
            {
                settings = settings with { IsWarm = true };
                continue;
            }
            if (i + 1 == args.Length) throw new FormatException($"'{option}' is no option, or lacks its value.");
            string value = args[++i];
            settings = option switch
            {
                "--threads" => settings with { Threads = Numbers(option, value, 1024) },
                "--rounds" => settings with { Rounds = Numbers(option, value, 10_000)[0] },
                "--rows" => settings with { Rows = Numbers(option, value, 1 << 16) },
                "--keys" => settings with { Keys = Numbers(option, value, 1 << 24) },
                "--groups" => settings with { Groups = Numbers(option, value, 512) },
                "--isa" => settings with { InstructionSet = value },
                "--json" => settings with { JsonPath = value },
                _ => throw new FormatException($"There is no option '{option}'."),
            };
        }
        return settings;
    }

    private static int[] PowersOfTwo()
    {
        var counts = new List<int>();
        for (int count = 1; count < Environment.ProcessorCount; count *= 2) counts.Add(count);
        return [.. counts, Environment.ProcessorCount];
    }

    private static int[] Numbers(string option, string text, int max)
    {
        int[] numbers = [.. text.Split(',').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0)];
        return numbers.All(number => number >= 1 && number <= max) ? numbers
            : throw new FormatException($"{option} takes numbers from 1 to {max.ToString(CultureInfo.InvariantCulture)} like 1,8,64, not '{text}'.");
    }
}
