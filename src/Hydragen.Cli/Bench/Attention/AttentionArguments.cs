using System.CommandLine;
using System.Globalization;
using Hydragen.Cli.Commands;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that say which shapes the attention benchmark measures.</summary>
internal sealed class AttentionArguments
{
    private const int MaxTokens = 1 << 24, MaxHeads = 1024, MaxBatch = 65_536;

    private readonly Option<string> _protocol = Values.Choice(
        "--protocol", "The shapes to measure.", AttentionProtocols.Micro,
        AttentionProtocols.Published, AttentionProtocols.Micro, AttentionProtocols.Tree, AttentionProtocols.Suffix, AttentionProtocols.Custom);

    private readonly Option<int[]> _batch = NumberList.Option("--batch", "Sequences (custom only; default 64).", 1, MaxBatch);
    private readonly Option<int[]> _prefix = NumberList.Option("--prefix", "Shared tokens (custom only; default 4096).", 0, MaxTokens);
    private readonly Option<int[]> _suffix = NumberList.Option(
        "--suffix", "Own tokens of each sequence (custom, suffix, and micro on a GPU).", 0, MaxTokens);

    private readonly Option<TreeLevel[]> _tree = new("--tree")
    {
        Description = "A prefix tree instead of --prefix: nodes x tokens of each level from the root down, such as 1x2048,8x512,64x128 (custom only).",
        HelpName = "nxm,nxm,..",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            TreeLevel[]? levels = ParseTree(text);
            if (levels is null)
            {
                result.AddError(
                    $"--tree takes levels like 1x2048,8x512,64x128 (nodes x tokens), each with a multiple of the nodes above and at most {MaxTokens} tokens, not '{text}'");
            }
            return levels ?? [];
        },
    };

    private readonly Option<int?> _heads = Values.OptionalInteger("--heads", "Query heads (custom only; default 8).", 1, MaxHeads);
    private readonly Option<int?> _kvHeads = Values.OptionalInteger("--kv-heads", "Key/value heads (custom only; default 2).", 1, MaxHeads);
    private readonly Option<int?> _headDim = Values.OptionalInteger("--head-dim", "Elements of a head (custom only; default 128).", 8, AttentionShape.MaxHeadDim);
    private readonly Option<int> _queryLength = Values.Integer("--query-length", "Query rows of each sequence.", 1, 1, 4096);
    private readonly Option<string> _kvType = Values.Choice(
        "--kv-type", "Type of keys and values; queries have the same, or beside bytes that of the prefix, and bf16 where that has bytes too.", ElementType.BFloat16.ShortName(), [.. ElementTypes.All.Select(type => type.ShortName())]);

    private readonly Option<string> _prefixKvType = DeviceArguments.MakePrefixKvType("--modes copied");

    private readonly Option<bool> _warm = new("--warm") { Description = "Use the same data in every call, so that caches may keep it." };
    private readonly Option<long?> _maxKvMemory = Values.OptionalInteger(
        "--max-kv-memory", "The most memory for keys and values, in MiB; half of the memory, or a GPU's free memory, when not given.", 1L, 1L << 30);

    private readonly Option<string?> _outputs = new("--outputs")
    {
        Description = "Keep 32 rows of each point's output in this folder, as FP32, for other programs to compare.",
        HelpName = "FOLDER",
    };

    public AttentionArguments(Command command)
    {
        foreach (Option option in (Option[])[
            _protocol, _batch, _prefix, _tree, _suffix, _heads, _kvHeads, _headDim, _queryLength, _kvType, _prefixKvType, _warm, _maxKvMemory, _outputs])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>The levels of a tree like <c>1x2048,8x512</c>, or null when it is malformed.</summary>
    public static TreeLevel[]? ParseTree(string text)
    {
        var levels = new List<TreeLevel>();
        foreach (string item in text.Split(','))
        {
            string[] parts = item.Split('x');
            if (parts.Length != 2 || !IsNumber(parts[0], MaxBatch, out int numNodes) || !IsNumber(parts[1], MaxTokens, out int length)) return null;
            if (levels.Count > 0 && numNodes % levels[^1].NumNodes != 0) return null;
            levels.Add(new TreeLevel(numNodes, length));
        }
        return levels.Sum(level => (long)level.Length) <= MaxTokens ? [.. levels] : null;

        static bool IsNumber(string part, int max, out int number) =>
            int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= 1 && number <= max;
    }

    /// <summary>What is to be measured.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="isGpu">Whether a GPU computes.</param>
    /// <param name="modes">The modes.</param>
    /// <param name="repeats">Rounds.</param>
    /// <exception cref="InputException">Options contradict one another.</exception>
    public AttentionSetup Read(ParseResult parsed, bool isGpu, AttentionMode[] modes, int repeats)
    {
        string protocol = parsed.GetValue(_protocol)!;
        if (protocol != AttentionProtocols.Custom) Refuse(parsed, protocol, _batch, _prefix, _tree, _heads, _kvHeads, _headDim);
        if (protocol is AttentionProtocols.Published or AttentionProtocols.Tree || (protocol == AttentionProtocols.Micro && !isGpu)) Refuse(parsed, protocol, _suffix);
        IReadOnlyList<AttentionCell> cells = protocol switch
        {
            AttentionProtocols.Published => AttentionProtocols.PublishedCells,
            AttentionProtocols.Tree => AttentionProtocols.TreeCells,
            AttentionProtocols.Suffix => AttentionProtocols.SuffixCells(NumberList.Get(parsed, _suffix, AttentionProtocols.ShortSuffixes)),
            AttentionProtocols.Micro when isGpu => AttentionProtocols.PaperCells(NumberList.Get(parsed, _suffix, AttentionProtocols.PaperSuffixes)),
            AttentionProtocols.Micro => AttentionProtocols.SmallCells,
            _ => CustomCells(parsed),
        };
        int queryLength = parsed.GetValue(_queryLength);
        cells = [.. cells.Select(cell => cell with { QueryLength = queryLength })];
        foreach (AttentionCell cell in cells)
        {
            // Queries that own no key see the whole prefix with sharing, but would see less of a copy of their own.
            if (queryLength > 1 && cell.Suffix < queryLength)
                throw new InputException($"--query-length {queryLength} needs suffixes of at least as many tokens, not {cell.Suffix}.");
            if (cell.Prefix + cell.Suffix == 0) throw new InputException("A prefix and a suffix of 0 tokens leave nothing to attend to.");
        }
        ElementType kvType = ElementTypes.Parse(parsed.GetValue(_kvType)!);
        string? outputs = parsed.GetValue(_outputs);
        if (outputs is not null && !Directory.Exists(outputs)) throw new InputException($"--outputs names the folder '{outputs}', which does not exist.");
        return new AttentionSetup(protocol, kvType, cells, modes, repeats, parsed.GetValue(_warm), MaxBytes: 0)
        {
            PrefixKvType = DeviceArguments.ParseKvType(parsed.GetValue(_prefixKvType)),
            OutputFolder = outputs,
        };
    }

    /// <summary>The most memory for keys and values that was asked for, in bytes, or null.</summary>
    public long? MaxBytes(ParseResult parsed) => parsed.GetValue(_maxKvMemory) << 20;

    private IReadOnlyList<AttentionCell> CustomCells(ParseResult parsed)
    {
        var shape = new AttentionShape(parsed.GetValue(_heads) ?? 8, parsed.GetValue(_kvHeads) ?? 2, parsed.GetValue(_headDim) ?? 128);
        IReadOnlyList<int> batches = NumberList.Get(parsed, _batch, 64), suffixes = NumberList.Get(parsed, _suffix, 128);
        if (parsed.GetValue(_tree) is not { Length: > 0 } levels)
            return AttentionProtocols.Product(shape, batches, NumberList.Get(parsed, _prefix, 4096), suffixes);
        if (parsed.GetResult(_prefix) is { Implicit: false }) throw new InputException("--prefix and --tree exclude each other.");
        foreach (int batch in batches)
        {
            if (batch % levels[^1].NumNodes != 0)
                throw new InputException($"--batch {batch} cannot be shared out evenly among the {levels[^1].NumNodes} nodes of the last level of --tree.");
        }
        return [.. AttentionProtocols.Product(shape, batches, [levels.Sum(level => level.Length)], suffixes).Select(cell => cell with { Levels = levels })];
    }

    private static void Refuse(ParseResult parsed, string protocol, params Option[] options)
    {
        foreach (Option option in options)
        {
            if (parsed.GetResult(option) is { Implicit: false })
                throw new InputException($"{option.Name} does not go with --protocol {protocol}, which fixes it; use --protocol custom.");
        }
    }
}
