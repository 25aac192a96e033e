using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Cli.Input;

/// <summary>One call of the attention operator, read from a safetensors file.</summary>
internal sealed record AttentionCase(
    AttentionShape Shape, AttentionOptions Options, IReadOnlyList<SharedPrefixNode> Nodes, IReadOnlyList<SharedPrefixSequence> Sequences)
{
    private const string PlanKey = "plan";

    public static AttentionCase Read(string path)
    {
        InputFile.Open(path).Dispose();
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(PlanKey, out string? json)) throw new InputException($"{path}: the metadata has no key '{PlanKey}'.");
        try
        {
            using JsonDocument plan = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return new Reader(path, file, plan.RootElement).Read();
        }
        catch (JsonException exception)
        {
            throw new InputException($"{path}: the plan is not valid JSON ({exception.Message.TrimEnd('.')}).", exception);
        }
        catch (ArgumentException exception)
        {
            throw new InputException($"{path}: {exception.Message}", exception);
        }
    }

    private sealed class Reader(string path, SafetensorsFile file, JsonElement plan)
    {
        private int _numHeads;
        private int _numKvHeads;
        private int _headDim;

        public AttentionCase Read()
        {
            JsonFieldReader fields = new(plan, $"{path}: the plan", ["nodes", "sequences", "scale", "alibi", "window", "softcap"]);
            int[] parents = [.. fields.Array("nodes").Select((node, i) => new JsonFieldReader(node, $"{path}: node {i}", ["parent"]).Integer("parent") ?? -1)];
            int[] leaves = [.. fields.Array("sequences").Select((sequence, i) => new JsonFieldReader(sequence, $"{path}: sequence {i}", ["node"]).Integer("node") ?? -1)];
            if (leaves.Length == 0) throw new InputException($"{path}: the plan has no sequences.");
            ReadShape();
            var shape = new AttentionShape(_numHeads, _numKvHeads, _headDim);
            var options = new AttentionOptions
            {
                Scale = fields.Number("scale"),
                AlibiSlopes = fields.Boolean("alibi") == true ? AlibiSlopes.ForHeads(_numHeads) : default,
                SlidingWindow = fields.Integer("window"),
                LogitSoftCap = fields.Number("softcap"),
            };
            SharedPrefixNode[] nodes = [.. parents.Select(ReadNode)];
            SharedPrefixSequence[] sequences = [.. leaves.Select(ReadSequence)];
            return new AttentionCase(shape, options, nodes, sequences);
        }

        private void ReadShape()
        {
            _numHeads = ToInt(Find("sequence.0.query").Shape[1], "sequence.0.query");
            SafetensorsTensor key = Find("sequence.0.key");
            _numKvHeads = ToInt(key.Shape[1], key.Name);
            _headDim = ToInt(key.Shape[2], key.Name);
        }

        private SharedPrefixNode ReadNode(int parent, int index)
        {
            (int length, float[] key) = ReadTensor($"node.{index}.key", _numKvHeads);
            (int valueLength, float[] value) = ReadTensor($"node.{index}.value", _numKvHeads);
            if (length != valueLength) throw new InputException($"{path}: node {index} has {length} keys but {valueLength} values.");
            return new SharedPrefixNode(parent, length, key, value);
        }

        private SharedPrefixSequence ReadSequence(int node, int index)
        {
            (int queryLength, float[] query) = ReadTensor($"sequence.{index}.query", _numHeads);
            (int length, float[] key) = ReadTensor($"sequence.{index}.key", _numKvHeads);
            (int valueLength, float[] value) = ReadTensor($"sequence.{index}.value", _numKvHeads);
            if (length != valueLength) throw new InputException($"{path}: sequence {index} has {length} keys but {valueLength} values.");
            return new SharedPrefixSequence(node, queryLength, length, query, key, value);
        }

        private SafetensorsTensor Find(string name)
        {
            if (!file.Tensors.TryGetValue(name, out SafetensorsTensor? tensor)) throw new InputException($"{path}: the tensor '{name}' is missing.");
            if (tensor.Shape.Length != 3)
                throw new InputException($"{path}: the tensor '{name}' has the shape {tensor.ShapeText}; expected [length, heads, headDim].");
            return tensor;
        }

        private (int Length, float[] Values) ReadTensor(string name, int numHeads)
        {
            SafetensorsTensor tensor = Find(name);
            if (tensor.Shape[1] != numHeads || tensor.Shape[2] != _headDim)
                throw new InputException($"{path}: the tensor '{name}' has the shape {tensor.ShapeText}; expected [length, {numHeads}, {_headDim}].");
            if (!tensor.Dtype.TryGetElementType(out ElementType type))
                throw new InputException($"{path}: the tensor '{name}' has the type {tensor.Dtype.FormatName()}; expected F32, BF16 or F16.");
            int length = ToInt(tensor.Shape[0], name);
            var values = new float[checked(length * numHeads * _headDim)];
            if (type == ElementType.Float32)
            {
                file.Read(tensor, 0, MemoryMarshal.AsBytes(values.AsSpan()));
                return (length, values);
            }
            var bits = new ushort[values.Length];
            file.Read(tensor, 0, MemoryMarshal.AsBytes(bits.AsSpan()));
            for (int i = 0; i < bits.Length; i++)
                values[i] = type == ElementType.BFloat16 ? BFloat16Bits.ToSingle(bits[i]) : (float)BitConverter.UInt16BitsToHalf(bits[i]);
            return (length, values);
        }

        private int ToInt(long size, string name) => size is >= 0 and <= int.MaxValue
            ? (int)size : throw new InputException($"{path}: the tensor '{name}' has an axis of {size} elements, which is too large.");
    }
}
