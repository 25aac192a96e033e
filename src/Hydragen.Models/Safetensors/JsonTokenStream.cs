using System.Buffers;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Hydragen.Models;

/// <summary>
/// Reads JSON tokens from a range of a file through a small buffer. Memory is bounded by the longest token, whatever the range
/// holds. Reports every malformation as <see cref="ModelFormatException"/>.
/// </summary>
internal ref struct JsonTokenStream
{
    /// <summary>The longest token that is read, escapes included.</summary>
    public const int MaxTokenBytes = 4 << 20;

    /// <summary>The longest value that is skipped because nobody knows its name.</summary>
    public const int MaxSkippedBytes = 1 << 20;

    private const int MinBufferBytes = 64 << 10;
    private const int MaxDepth = 64;
    private static readonly SearchValues<byte> WhiteSpace = SearchValues.Create(" \t\r\n"u8);

    private readonly string _path;
    private readonly string _what;
    private readonly SafeFileHandle _handle;
    private readonly long _end;
    private byte[] _buffer;
    private long _bufferOffset;
    private int _numBuffered;
    private Utf8JsonReader _reader;

    /// <summary>Starts at a byte offset of a file; <paramref name="what"/> is what messages call the range.</summary>
    public JsonTokenStream(string path, string what, SafeFileHandle handle, long offset, long length)
    {
        _path = path;
        _what = what;
        _handle = handle;
        _end = offset + length;
        _buffer = new byte[(int)Math.Min(MinBufferBytes, length)];
        _bufferOffset = offset;
        _numBuffered = SafetensorsFile.ReadSome(handle, _buffer, offset);
        SkipLeadingWhiteSpace();
        _reader = new Utf8JsonReader(
            _buffer.AsSpan(0, _numBuffered), IsLastBlock, new JsonReaderState(new JsonReaderOptions { MaxDepth = MaxDepth }));
    }

    /// <summary>Kind of the current token.</summary>
    public readonly JsonTokenType TokenType => _reader.TokenType;

    /// <summary>Offset of the current token from the start of the file.</summary>
    public readonly long Position => _bufferOffset + _reader.TokenStartIndex;

    private readonly bool IsLastBlock => _bufferOffset + _numBuffered >= _end;

    /// <summary>Moves to the next token, which must exist.</summary>
    public void Read()
    {
        try
        {
            while (!_reader.Read())
            {
                if (IsLastBlock) throw Error($"{_what} ends in the middle of a value");
                ReadBlock();
            }
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(_path, $"{_what} is not valid JSON near byte {_bufferOffset + _reader.BytesConsumed}", e);
        }
    }

    /// <summary>Moves to the next token and checks its kind; the message names the field and its owner, if it has one.</summary>
    public void Read(JsonTokenType expected, string field, string? owner = null)
    {
        Read();
        if (TokenType != expected) throw Error($"{Name(field, owner)} must be {Describe(expected)}, but is {Describe(TokenType)}");
    }

    /// <summary>Whether the current string or property name is this ASCII text.</summary>
    public readonly bool IsText(ReadOnlySpan<byte> text)
    {
        try
        {
            return _reader.ValueTextEquals(text);
        }
        catch (InvalidOperationException e)
        {
            throw NotUnicode(e);
        }
    }

    /// <summary>Skips the value of the property name that was just read.</summary>
    public void SkipValue()
    {
        Read();
        if (TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray)) return;
        int depth = _reader.CurrentDepth;
        long start = Position;
        do
        {
            Read();
            if (Position - start > MaxSkippedBytes) throw Error($"a value of unknown meaning takes more than {MaxSkippedBytes} bytes");
        }
        while (_reader.CurrentDepth > depth);
    }

    /// <summary>The current string or property name.</summary>
    public readonly string GetString()
    {
        try
        {
            return _reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw NotUnicode(e);
        }
    }

    /// <summary>The current token as a non-negative integer written without fraction, exponent or sign.</summary>
    public readonly long GetCount(string field, string owner)
    {
        if (TokenType == JsonTokenType.Number && _reader.ValueSpan[0] != (byte)'-' && _reader.TryGetInt64(out long value)) return value;
        throw Error($"{Name(field, owner)} must be an integer from 0 to {long.MaxValue}, but is {DescribeValue()}");
    }

    /// <summary>Checks that only white space follows the root value.</summary>
    public void ExpectEnd()
    {
        int start = (int)_reader.BytesConsumed;
        while (true)
        {
            int other = _buffer.AsSpan(start, _numBuffered - start).IndexOfAnyExcept(WhiteSpace);
            if (other >= 0)
                throw new ModelFormatException(_path, $"{_what} holds more than one JSON value: byte {_bufferOffset + start + other} follows its end");
            if (IsLastBlock) return;
            NextBuffer();
            start = 0;
        }
    }

    /// <summary>An exception that names the file and the current offset.</summary>
    public readonly ModelFormatException Error(string problem) => new(_path, $"{problem} (file byte {Position})");

    /// <summary>Cuts a text from a file to a length that a message can carry.</summary>
    public static string Shorten(string text) => text.Length <= 100 ? text : string.Concat(text.AsSpan(0, 100), "…");

    private readonly ModelFormatException NotUnicode(Exception e) => new(_path, $"the text at file byte {Position} is not valid Unicode", e);

    private static string Name(string field, string? owner) => owner is null ? field : $"{field} of '{Shorten(owner)}'";

    private static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a string",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "a boolean",
        JsonTokenType.Null => "null",
        _ => type.ToString(),
    };

    private readonly string DescribeValue()
    {
        if (TokenType != JsonTokenType.Number) return Describe(TokenType);
        ReadOnlySpan<byte> digits = _reader.ValueSpan;
        return System.Text.Encoding.ASCII.GetString(digits[..Math.Min(digits.Length, 40)]);
    }

    private void SkipLeadingWhiteSpace()
    {
        while (true)
        {
            int first = _buffer.AsSpan(0, _numBuffered).IndexOfAnyExcept(WhiteSpace);
            if (first > 0)
            {
                _buffer.AsSpan(first, _numBuffered - first).CopyTo(_buffer);
                _bufferOffset += first;
                _numBuffered -= first;
            }
            if (first >= 0 || IsLastBlock) return;
            NextBuffer();
        }
    }

    private void NextBuffer()
    {
        _bufferOffset += _numBuffered;
        _numBuffered = ReadAt(0);
    }

    private void ReadBlock()
    {
        int consumed = (int)_reader.BytesConsumed;
        int left = _numBuffered - consumed;
        byte[] source = _buffer;
        if (left > source.Length / 2)
        {
            if (source.Length >= MaxTokenBytes)
                throw new ModelFormatException(_path, $"the value at file byte {_bufferOffset + consumed} is longer than {MaxTokenBytes} bytes");
            _buffer = new byte[Math.Min(source.Length * 2, MaxTokenBytes)];
        }
        source.AsSpan(consumed, left).CopyTo(_buffer);
        _bufferOffset += consumed;
        _numBuffered = left + ReadAt(left);
        _reader = new Utf8JsonReader(_buffer.AsSpan(0, _numBuffered), IsLastBlock, _reader.CurrentState);
    }

    private readonly int ReadAt(int start)
    {
        long offset = _bufferOffset + start;
        int wanted = (int)Math.Min(_buffer.Length - start, _end - offset);
        int numRead = SafetensorsFile.ReadSome(_handle, _buffer.AsSpan(start, wanted), offset);
        if (numRead < wanted) throw new ModelFormatException(_path, $"the file ended at byte {offset + numRead} while {_what} was read");
        return numRead;
    }
}
