using System.Globalization;
using System.Text;
using Hydragen.Core;

namespace Hydragen.Cli.Tests;

/// <summary>
/// One input of the attention verb: random tensors whose numbers every storage type holds exactly, and their attention computed in
/// the plainest way.
/// </summary>
internal sealed class OperatorCase
{
    private readonly (int Parent, int Length)[] _nodes;
    private readonly (int Node, int QueryLength, int SuffixLength)[] _sequences;
    private readonly Dictionary<string, (int[] Shape, float[] Values)> _tensors = [];

    public OperatorCase((int Parent, int Length)[] nodes, (int Node, int QueryLength, int SuffixLength)[] sequences, int seed = 1)
    {
        _nodes = nodes;
        _sequences = sequences;
        var random = new Random(seed);
        void Add(string name, int length, int heads)
        {
            var values = new float[length * heads * HeadDim];
            for (int i = 0; i < values.Length; i++) values[i] = random.Next(-64, 65) / 32f;
            _tensors[name] = ([length, heads, HeadDim], values);
        }
        for (int i = 0; i < nodes.Length; i++)
        {
            Add($"node.{i}.key", nodes[i].Length, NumKvHeads);
            Add($"node.{i}.value", nodes[i].Length, NumKvHeads);
        }
        for (int i = 0; i < sequences.Length; i++)
        {
            Add($"sequence.{i}.query", sequences[i].QueryLength, NumHeads);
            Add($"sequence.{i}.key", sequences[i].SuffixLength, NumKvHeads);
            Add($"sequence.{i}.value", sequences[i].SuffixLength, NumKvHeads);
        }
    }

    public const int NumHeads = 4, NumKvHeads = 2, HeadDim = 16;

    public float? Scale { get; init; }

    public bool Alibi { get; init; }

    public int? Window { get; init; }

    public float? SoftCap { get; init; }

    /// <summary>Rounds keys and values to what a cache of a type keeps.</summary>
    public OperatorCase Store(ElementType type)
    {
        foreach ((string name, (_, float[] values)) in _tensors)
        {
            if (!name.EndsWith("query", StringComparison.Ordinal)) KvRounding.Round(values, HeadDim, type);
        }
        return this;
    }

    public int NumSequences => _sequences.Length;

    public int QueryLength(int sequence) => _sequences[sequence].QueryLength;

    public byte[] ToBytes()
    {
        var plan = new StringBuilder("{\"nodes\":[").AppendJoin(',', _nodes.Select(node => $"{{\"parent\":{node.Parent}}}"));
        plan.Append("],\"sequences\":[").AppendJoin(',', _sequences.Select(sequence => $"{{\"node\":{sequence.Node}}}")).Append(']');
        if (Scale is not null) plan.Append(CultureInfo.InvariantCulture, $",\"scale\":{Scale}");
        if (Alibi) plan.Append(",\"alibi\":true");
        if (Window is not null) plan.Append(CultureInfo.InvariantCulture, $",\"window\":{Window}");
        if (SoftCap is not null) plan.Append(CultureInfo.InvariantCulture, $",\"softcap\":{SoftCap}");
        return SafetensorsBytes.Of("plan", plan.Append('}').ToString(), _tensors.Select(tensor => (tensor.Key, tensor.Value.Shape, tensor.Value.Values)));
    }

    /// <summary>Output and log-sum-exp of one query and head.</summary>
    public (double[] Output, double LogSumExp) Expect(int sequence, int query, int head)
    {
        (int node, int queryLength, int suffixLength) = _sequences[sequence];
        var names = new List<string>();
        for (int i = node; i >= 0; i = _nodes[i].Parent) names.Insert(0, $"node.{i}");
        int prefixLength = names.Sum(name => _tensors[name + ".key"].Shape[0]);
        names.Add($"sequence.{sequence}");
        int queryPosition = prefixLength + query + (suffixLength == 0 ? 0 : suffixLength - queryLength);
        ReadOnlySpan<float> queryRow = Row($"sequence.{sequence}.query", query, head, NumHeads);
        int kvHead = head / (NumHeads / NumKvHeads), position = 0;
        var output = new double[HeadDim];
        double sum = 0;
        foreach (string name in names)
        {
            for (int token = 0; token < _tensors[name + ".key"].Shape[0]; token++, position++)
            {
                if (position > queryPosition || position <= queryPosition - (Window ?? int.MaxValue)) continue;
                double score = 0;
                ReadOnlySpan<float> key = Row(name + ".key", token, kvHead, NumKvHeads), value = Row(name + ".value", token, kvHead, NumKvHeads);
                for (int d = 0; d < HeadDim; d++) score += (double)queryRow[d] * key[d];
                score *= Scale ?? 1 / Math.Sqrt(HeadDim);
                if (SoftCap is float cap) score = cap * Math.Tanh(score / cap);
                if (Alibi) score += Math.Pow(2, -8.0 * (head + 1) / NumHeads) * (position - queryPosition);
                double weight = Math.Exp(score);
                sum += weight;
                for (int d = 0; d < HeadDim; d++) output[d] += weight * value[d];
            }
        }
        for (int d = 0; d < HeadDim && sum > 0; d++) output[d] /= sum;
        return (output, Math.Log(sum));
    }

    private ReadOnlySpan<float> Row(string name, int token, int head, int numHeads) =>
        _tensors[name].Values.AsSpan((token * numHeads + head) * HeadDim, HeadDim);
}
